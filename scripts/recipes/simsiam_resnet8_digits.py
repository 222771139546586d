"""SimSiam on scikit-learn's digits.

python scripts/recipes/simsiam_resnet8_digits.py [--out OUT]      # all options of `zoo pretrain`
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="simsiam",
    encoder="resnet8",
    dataset="digits",
    views=(
        ("random_resized_crop", {"size": 8, "scale": (0.4, 1.0)}),
        ("rotate", {"degrees": 15.0}),
    ),
    optimizer="adamw",
    learning_rate=5e-3,
    epochs=120,
    batch_size=256,
    warmup_epochs=5,
    method_options={"projector": (128, 128), "predictor": 32},
    encoder_options={"width": 16},
    optimizer_options={"weight_decay": 1e-4},
    parameter_groups=(("predictor.*", {"schedule": "constant"}),),
    precision="float32",
)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/simsiam-resnet8-digits", *sys.argv[1:]], prog_name="zoo")
