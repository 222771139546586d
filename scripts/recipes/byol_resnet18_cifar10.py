"""BYOL on CIFAR-10 with a ResNet-18, for a GPU.

    python scripts/recipes/byol_resnet18_cifar10.py --device cuda [--out OUT]      # all options of `zoo pretrain`

The views, the batches and the optimizer are those of `simclr_resnet18_cifar10.py`; the momentum of the target starts at
.99, as in the paper for short runs.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="byol",
    encoder="resnet18",
    dataset="cifar10",
    views=(
        ("random_resized_crop", {"size": 32, "scale": (0.2, 1.0), "flip": 0.5}),
        ("color_jitter", {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "p": 0.8}),
        ("grayscale", {"p": 0.1}),
    ),
    optimizer="sgd",
    learning_rate=0.24,
    epochs=200,
    batch_size=1024,
    warmup_epochs=10,
    method_options={
        "projector": (2048, 256),
        "predictor": 2048,
        "momentum": ("cosine", {"value": 0.99, "final": 1.0}),
    },
    encoder_options={"stem": "cifar"},
    optimizer_options={"momentum": 0.9, "weight_decay": 5e-4},
    precision="bfloat16",
    compile=True,
)
probes = (("cifar10", (10, 100, 1_000, "all")),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/byol-resnet18-cifar10", *sys.argv[1:]], prog_name="zoo")
