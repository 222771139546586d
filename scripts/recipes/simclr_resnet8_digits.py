"""SimCLR on scikit-learn's digits: the smallest whole run, seconds to minutes on any machine.

python scripts/recipes/simclr_resnet8_digits.py [OUT]      # or: zoo pretrain scripts/recipes/... --out OUT
"""

import sys

import zoo

recipe = zoo.Recipe(
    method="simclr",
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
    method_options={"projector": (128, 64), "temperature": 0.2},
    encoder_options={"width": 16},
    optimizer_options={"weight_decay": 1e-4},
    precision="float32",
)

if __name__ == "__main__":
    out = sys.argv[1] if len(sys.argv) > 1 else "runs/simclr-resnet8-digits"
    print(zoo.pretrain(recipe, out=out, progress=True))
