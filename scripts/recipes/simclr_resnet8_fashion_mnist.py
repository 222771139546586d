"""SimCLR on Fashion-MNIST with the small network of the README's table of methods.

python scripts/recipes/simclr_resnet8_fashion_mnist.py [--out OUT]      # all options of `zoo pretrain`

Result: 6.4 minutes per seed on AMD EPYC, threads: 1. Linear probe, accuracy in % on the 10,000 test images of
fashion_mnist, mean +- standard deviation over seeds and draws: 77.0 +- 1.3 with 100 labels (n = 15), 85.2 +- 0.5 with
1,000 labels (n = 15), 88.7 +- 0.4 with 10,000 labels (n = 15), 90.6 +- 0.1 with 60,000 labels (n = 3). Measured by
`python scripts/release.py scripts/recipes/simclr_resnet8_fashion_mnist.py --seeds 1` and `python scripts/release.py
scripts/recipes/simclr_resnet8_fashion_mnist.py --add-seeds 1,2 --device cuda`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="simclr",
    encoder="resnet8",
    dataset="fashion_mnist",
    views=(
        ("random_resized_crop", {"size": 28, "scale": (0.6, 1.0), "ratio": (0.9, 1.1), "flip": 0.5}),
        ("color_jitter", {"brightness": 0.8, "contrast": 0.8, "saturation": 0.0, "hue": 0.0}),
        ("gaussian_blur", {"kernel_size": 3, "sigma": (0.1, 1.0), "p": 0.5}),
        ("solarize", {"p": 0.3}),
        ("rand_augment", {"n_ops": 2, "magnitude": 9}),
    ),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=10,
    batch_size=256,
    warmup_epochs=1,
    method_options={"projector": (256, 128), "temperature": 0.2},
    encoder_options={"width": 16, "stem": "strided", "feature_dim": 2048, "grid": 4},
    optimizer_options={"weight_decay": 1e-4},
    precision="bfloat16",
    compile=True,
)
probes = (("fashion_mnist", (10, 100, 1_000, "all")),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/simclr-resnet8-fashion_mnist", *sys.argv[1:]], prog_name="zoo")
