"""The supervised baseline on scikit-learn's digits: the encoder of the other recipes, trained on all labels.

python scripts/recipes/supervised_resnet8_digits.py [--out OUT]      # all options of `zoo pretrain`
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="supervised",
    encoder="resnet8",
    dataset="digits",
    views=(
        ("random_resized_crop", {"size": 8, "scale": (0.4, 1.0)}),
        ("rotate", {"degrees": 15.0}),
    ),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=60,
    batch_size=256,
    warmup_epochs=5,
    encoder_options={"width": 16},
    optimizer_options={"weight_decay": 1e-4},
    precision="float32",
)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/supervised-resnet8-digits", *sys.argv[1:]], prog_name="zoo")
