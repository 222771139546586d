"""Triplets of images on Fashion-MNIST with the small network of the README's table of methods.

python scripts/recipes/triplet_resnet8_fashion_mnist.py [--out OUT]      # all options of `zoo pretrain`

Result: 5.4 minutes per seed on AMD EPYC, threads: 1. Linear probe, accuracy in % on the 10,000 test images of
fashion_mnist, mean +- standard deviation over seeds and draws: 84.3 +- 0.5 with 100 labels (n = 5), 86.3 +- 0.4 with
1,000 labels (n = 5), 88.1 +- 0.2 with 10,000 labels (n = 5), 89.5 with 60,000 labels (n = 1). Measured by `python
scripts/release.py scripts/recipes/triplet_resnet8_fashion_mnist.py --seeds 1`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="triplet",
    encoder="resnet8",
    dataset="fashion_mnist",
    views=(
        ("random_resized_crop", {"size": 28, "scale": (0.7, 1.0), "ratio": (0.9, 1.1), "flip": 0.5}),
        ("rand_augment", {"n_ops": 2, "magnitude": 9}),
    ),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=6,
    batch_size=256,
    warmup_epochs=1,
    method_options={"margin": 1.0, "negatives": "semi_hard"},
    encoder_options={"width": 16, "stem": "strided", "feature_dim": 2048, "grid": 4},
    optimizer_options={"weight_decay": 1e-2},
    precision="float32",
    compile=True,
)
probes = (("fashion_mnist", (10, 100, 1_000, "all")),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/triplet-resnet8-fashion_mnist", *sys.argv[1:]], prog_name="zoo")
