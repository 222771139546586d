"""SimCLR on all 60,000 training images of MNIST with a small residual network: for few labels.

    python scripts/recipes/simclr_resnet8_mnist.py [--out OUT]      # all options of `zoo pretrain`

Result: 8.4 minutes per seed on AMD EPYC, threads: 2. Linear probe, accuracy in % on the 10,000 test images of mnist,
mean +- standard deviation over seeds and draws: 94.1 +- 0.8 with 100 labels (n = 15), 98.0 +- 0.2 with 1,000 labels (n
= 15), 98.8 +- 0.1 with 6,000 labels (n = 3), 99.0 +- 0.1 with 12,000 labels (n = 3). Measured by `python
scripts/release.py scripts/recipes/simclr_resnet8_mnist.py --seeds 3`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="simclr",
    encoder="resnet8",
    dataset="mnist",
    views=(
        ("random_resized_crop", {"size": 28, "scale": (0.4, 1.0)}),
        ("affine", {"degrees": 20.0, "shear": (20.0, 20.0), "scale": (0.8, 1.2)}),
    ),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=18,
    batch_size=256,
    warmup_epochs=1,
    method_options={"projector": (256, 128), "temperature": 0.2},
    encoder_options={"width": 32, "stem": "strided", "feature_dim": 512},
    optimizer_options={"weight_decay": 1e-4},
    precision="float32",
    compile=True,
)
probes = (("mnist_labels_6k", (10, 100, "all")), ("mnist_labels_12k", ("all",)))

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/simclr-resnet8-mnist", *sys.argv[1:]], prog_name="zoo")
