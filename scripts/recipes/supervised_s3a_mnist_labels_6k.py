"""The network of S3a trained from scratch on 6,000 labels of MNIST: its baseline.

python scripts/recipes/supervised_s3a_mnist_labels_6k.py [--out OUT]      # all options of `zoo pretrain`
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="supervised",
    encoder="s3a",
    dataset="mnist_labels_6k",
    views=(("affine", {"degrees": 15.0, "translate": (0.1, 0.1), "scale": (0.85, 1.15), "shear": (15.0, 15.0)}),),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=60,
    batch_size=64,
    warmup_epochs=1,
    method_options={"label_smoothing": 0.1},
    optimizer_options={"weight_decay": 0.05},
    precision="bfloat16",
)
probes = (("mnist_labels_6k", ("all",)),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/supervised-s3a-mnist_labels_6k", *sys.argv[1:]], prog_name="zoo")
