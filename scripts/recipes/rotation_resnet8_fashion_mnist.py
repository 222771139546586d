"""Rotation prediction on Fashion-MNIST with the small network of the README's table of methods.

python scripts/recipes/rotation_resnet8_fashion_mnist.py [--out OUT]      # all options of `zoo pretrain`

Result: 17.1 minutes per seed on AMD EPYC, threads: 1. Linear probe, accuracy in % on the 10,000 test images of
fashion_mnist, mean +- standard deviation over seeds and draws: 75.6 +- 1.6 with 100 labels (n = 5), 83.1 +- 0.2 with
1,000 labels (n = 5), 87.0 +- 0.1 with 10,000 labels (n = 5), 89.1 with 60,000 labels (n = 1). Measured by `python
scripts/release.py scripts/recipes/rotation_resnet8_fashion_mnist.py --seeds 1`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="rotation",
    encoder="resnet8",
    dataset="fashion_mnist",
    views=(("random_resized_crop", {"size": 28, "scale": (0.7, 1.0), "ratio": (0.9, 1.1), "flip": 0.5}),),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=4,
    batch_size=128,
    warmup_epochs=1,
    encoder_options={"width": 16, "stem": "strided", "feature_dim": 2048, "grid": 4},
    optimizer_options={"weight_decay": 1e-2},
    precision="float32",
    compile=True,
)
probes = (("fashion_mnist", (10, 100, 1_000, "all")),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/rotation-resnet8-fashion_mnist", *sys.argv[1:]], prog_name="zoo")
