"""SimSiam on CIFAR-10 with the small network of the README's table for CIFAR-10.

python scripts/recipes/simsiam_resnet8_cifar10.py [--out OUT]      # all options of `zoo pretrain`

Result: 4.9 minutes per seed on NVIDIA H100 80GB HBM3, shared by up to 15 runs. Linear probe, accuracy in % on the
10,000 test images of cifar10, mean +- standard deviation over seeds and draws: 43.9 +- 0.9 with 100 labels (n = 5),
56.4 +- 0.5 with 1,000 labels (n = 5), 65.3 +- 0.1 with 10,000 labels (n = 5), 68.8 with 50,000 labels (n = 1). Of the
test images of cifar10, 20 are JPEG copies, which can move an accuracy by .2 points. Measured by `python
scripts/release.py scripts/recipes/simsiam_resnet8_cifar10.py --seeds 1 --device cuda`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="simsiam",
    encoder="resnet8",
    dataset="cifar10",
    views=(
        ("random_resized_crop", {"size": 32, "scale": (0.2, 1.0), "flip": 0.5}),
        ("color_jitter", {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "p": 0.8}),
        ("grayscale", {"p": 0.1}),
    ),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=40,
    batch_size=512,
    warmup_epochs=2,
    method_options={"projector": (1024, 1024), "predictor": 256},
    encoder_options={"width": 48, "stem": "strided", "feature_dim": 1024, "grid": 2},
    optimizer_options={"weight_decay": 1e-4},
    parameter_groups=(("predictor.*", {"schedule": "constant"}),),
    precision="bfloat16",
    compile=True,
)
probes = (("cifar10", (10, 100, 1_000, "all")),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/simsiam-resnet8-cifar10", *sys.argv[1:]], prog_name="zoo")
