"""SimCLR on the first 40,000 images of CIFAR-10 (S3b) with a network that two CPU cores can train in an hour.

    python scripts/recipes/simclr_resnet8_cifar10_40k.py [--out OUT]      # all options of `zoo pretrain`

Result: 65.9 minutes per seed on Intel(R) Xeon(R) Processor, threads: 2. Linear probe, accuracy in % on the 10,000 test
images of cifar10, mean +- standard deviation over seeds and draws: 54.9 +- 1.9 with 100 labels (n = 5), 67.9 +- 0.2
with 1,000 labels (n = 5), 75.7 with 20,000 labels (n = 1). Of the test images of cifar10, 20 are JPEG copies, which can
move an accuracy by .2 points. Measured by `python scripts/release.py scripts/recipes/simclr_resnet8_cifar10_40k.py
--seeds 1`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="simclr",
    encoder="resnet8",
    dataset="cifar10_40k",
    views=(
        ("random_resized_crop", {"size": 32, "scale": (0.2, 1.0), "flip": 0.5}),
        ("color_jitter", {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "p": 0.8}),
        ("grayscale", {"p": 0.1}),
    ),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=60,
    batch_size=256,
    warmup_epochs=1,
    method_options={"projector": (512, 128), "temperature": 0.2},
    encoder_options={"width": 64, "stem": "strided", "feature_dim": 512},
    optimizer_options={"weight_decay": 1e-4},
    precision="bfloat16",
    compile=True,
)
probes = (("cifar10_labels_20k", (10, 100, "all")),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/simclr-resnet8-cifar10_40k", *sys.argv[1:]], prog_name="zoo")
