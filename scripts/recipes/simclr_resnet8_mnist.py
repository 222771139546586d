"""SimCLR on all 60,000 training images of MNIST with a small residual network: for few labels.

python scripts/recipes/simclr_resnet8_mnist.py [--out OUT]      # all options of `zoo pretrain`
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
