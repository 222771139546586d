"""A supervised network on MNIST with the small network of the README's table of methods.

python scripts/recipes/supervised_resnet8_mnist.py [--out OUT]      # all options of `zoo pretrain`

Result: 8.4 minutes per seed on AMD EPYC, threads: 1. Linear probe, accuracy in % on the 10,000 test images of mnist,
mean +- standard deviation over seeds and draws: 99.3 +- 0.2 with 100 labels (n = 15), 99.5 +- 0.0 with 1,000 labels (n
= 15), 99.6 +- 0.0 with 10,000 labels (n = 15), 99.6 +- 0.0 with 60,000 labels (n = 3). Measured by `python
scripts/release.py scripts/recipes/supervised_resnet8_mnist.py --seeds 1` and `python scripts/release.py
scripts/recipes/supervised_resnet8_mnist.py --add-seeds 1,2 --device cuda`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="supervised",
    encoder="resnet8",
    dataset="mnist",
    views=(("affine", {"degrees": 15.0, "translate": (0.1, 0.1), "scale": (0.85, 1.15), "shear": (15.0, 15.0)}),),
    optimizer="adamw",
    learning_rate=3e-3,
    epochs=24,
    batch_size=256,
    warmup_epochs=1,
    method_options={"label_smoothing": 0.1},
    encoder_options={"width": 16, "stem": "strided", "feature_dim": 2048, "grid": 4},
    optimizer_options={"weight_decay": 0.05},
    precision="bfloat16",
    compile=True,
)
probes = (("mnist", (10, 100, 1_000, "all")), ("mnist_labels_6k", ("all",)))
# Changes to the recipe for at most this many labels, as few of them need more epochs and smaller batches.
few_labels = {
    10: {"epochs": 1000, "batch_size": 10, "warmup_epochs": 10, "compile": False, "precision": "float32"},
    100: {"epochs": 300, "batch_size": 50, "warmup_epochs": 10, "compile": False, "precision": "float32"},
    1_000: {"epochs": 100, "batch_size": 100, "warmup_epochs": 5, "compile": False, "precision": "float32"},
    10_000: {"epochs": 40, "batch_size": 256, "precision": "float32"},
}

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/supervised-resnet8-mnist", *sys.argv[1:]], prog_name="zoo")
