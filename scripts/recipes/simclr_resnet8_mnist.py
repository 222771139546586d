"""SimCLR on MNIST with the small network of the README's table of methods.

python scripts/recipes/simclr_resnet8_mnist.py [--out OUT]      # all options of `zoo pretrain`

Result: 19.0 minutes per seed on AMD EPYC, threads: 1. Linear probe, accuracy in % on the 10,000 test images of mnist,
mean +- standard deviation over seeds and draws: 96.2 +- 0.9 with 100 labels (n = 15), 98.3 +- 0.1 with 1,000 labels (n
= 15), 99.0 +- 0.0 with 10,000 labels (n = 15), 99.3 +- 0.0 with 60,000 labels (n = 3), 99.1 +- 0.1 with 6,000 labels (n
= 3), 99.1 +- 0.0 with 12,000 labels (n = 3). Measured by `python scripts/release.py
scripts/recipes/simclr_resnet8_mnist.py --seeds 3`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="simclr",
    encoder="resnet8",
    dataset="mnist",
    views=(
        ("elastic", {"std": 1.5, "grid": 5}),
        ("affine", {"degrees": 25.0, "translate": (0.1, 0.1), "scale": (0.7, 1.2), "shear": (30.0, 30.0)}),
        ("gaussian_blur", {"kernel_size": 5, "sigma": (0.1, 2.0), "p": 0.7}),
        ("color_jitter", {"brightness": 0.9, "contrast": 0.9, "saturation": 0.0, "hue": 0.0}),
    ),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=10,
    batch_size=256,
    warmup_epochs=1,
    method_options={"projector": (256, 128), "temperature": 0.5},
    encoder_options={"width": 16, "stem": "strided", "feature_dim": 2048, "grid": 4},
    optimizer_options={"weight_decay": 1e-4},
    precision="bfloat16",
    compile=True,
)
probes = (("mnist", (10, 100, 1_000, "all")), ("mnist_labels_6k", ("all",)), ("mnist_labels_12k", ("all",)))

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/simclr-resnet8-mnist", *sys.argv[1:]], prog_name="zoo")
