"""SimCLR on CIFAR-10 with a ResNet-18, for a GPU.

    python scripts/recipes/simclr_resnet18_cifar10.py --device cuda [--out OUT]      # all options of `zoo pretrain`

The settings are those of the strongest published SimCLR on CIFAR-10 (dkobak/simclr-cifar10: 91.9 % after 1,000 epochs):
crops of 20 to 100 % of the image, grey in one of ten, no blur, temperature .5, no batch norm in the head; and its
learning rate for short runs, .06 per 256 images. Its batches of 512 are computed faster by a large GPU than Python can
start their steps, so these are twice as large.

Result: 5.8 minutes per seed on NVIDIA H100 80GB HBM3. Linear probe, accuracy in % on the 10,000 test images of cifar10,
mean +- standard deviation over seeds and draws: 78.5 +- 1.3 with 100 labels (n = 5), 85.1 +- 0.4 with 1,000 labels (n =
5), 87.6 +- 0.1 with 10,000 labels (n = 5), 89.0 with 50,000 labels (n = 1). Of the test images of cifar10, 20 are JPEG
copies, which can move an accuracy by .2 points. Measured by `python scripts/release.py
scripts/recipes/simclr_resnet18_cifar10.py --seeds 1 --device cuda`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="simclr",
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
    warmup_epochs=5,
    method_options={"projector": (1024, 128), "temperature": 0.5},
    encoder_options={"stem": "cifar"},
    optimizer_options={"momentum": 0.9, "weight_decay": 5e-4},
    precision="bfloat16",
    compile=True,
)
probes = (("cifar10", (10, 100, 1000, "all")),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/simclr-resnet18-cifar10", *sys.argv[1:]], prog_name="zoo")
