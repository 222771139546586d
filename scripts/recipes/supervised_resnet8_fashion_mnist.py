"""A supervised network on Fashion-MNIST with the small network of the README's table of methods.

python scripts/recipes/supervised_resnet8_fashion_mnist.py [--out OUT]      # all options of `zoo pretrain`

Result: 4.6 minutes per seed on NVIDIA H100 80GB HBM3, shared by up to 15 runs. Linear probe, accuracy in % on the
10,000 test images of fashion_mnist, mean +- standard deviation over seeds and draws: 87.9 +- 0.8 with 100 labels (n =
15), 91.2 +- 0.3 with 1,000 labels (n = 15), 92.4 +- 0.2 with 10,000 labels (n = 15), 93.1 +- 0.2 with 60,000 labels (n
= 3), 91.1 +- 0.2 with 1,000 labels (n = 3). Measured by `python scripts/release.py
scripts/recipes/supervised_resnet8_fashion_mnist.py --seeds 3 --device cuda`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="supervised",
    encoder="resnet8",
    dataset="fashion_mnist",
    views=(
        ("random_resized_crop", {"size": 28, "scale": (0.7, 1.0), "ratio": (0.9, 1.1), "flip": 0.5}),
        ("rand_augment", {"n_ops": 2, "magnitude": 9}),
    ),
    optimizer="adamw",
    learning_rate=4e-3,
    epochs=60,
    batch_size=512,
    warmup_epochs=2,
    method_options={"label_smoothing": 0.1},
    encoder_options={"width": 16, "stem": "strided", "feature_dim": 2048, "grid": 4},
    optimizer_options={"weight_decay": 0.05},
    precision="bfloat16",
    compile=True,
)
probes = (("fashion_mnist", (10, 100, 1_000, "all")), ("fashion_mnist_labels_1k", ("all",)))
# Changes to the recipe for at most this many labels, as few of them need more epochs, smaller batches and a lower
# learning rate.
_FEW = {"learning_rate": 3e-3, "precision": "float32"}
few_labels = {
    10: {**_FEW, "epochs": 1000, "batch_size": 10, "warmup_epochs": 10, "compile": False},
    100: {**_FEW, "epochs": 300, "batch_size": 50, "warmup_epochs": 10, "compile": False},
    1_000: {**_FEW, "epochs": 100, "batch_size": 100, "warmup_epochs": 5, "compile": False},
    10_000: {**_FEW, "epochs": 40, "batch_size": 256, "warmup_epochs": 1},
}

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/supervised-resnet8-fashion_mnist", *sys.argv[1:]], prog_name="zoo")
