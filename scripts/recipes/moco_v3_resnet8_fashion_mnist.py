"""MoCo v3 on Fashion-MNIST with a small network, for many epochs: S4c by the best recipe found.

python scripts/recipes/moco_v3_resnet8_fashion_mnist.py [--out OUT]      # all options of `zoo pretrain`

Result: 9.4 minutes per seed on NVIDIA H100 80GB HBM3, shared by up to 15 runs. Linear probe, accuracy in % on the
10,000 test images of fashion_mnist, mean +- standard deviation over seeds and draws: 77.6 +- 1.9 with 100 labels (n =
5), 86.2 +- 0.7 with 1,000 labels (n = 5), 90.3 +- 0.2 with 10,000 labels (n = 5), 91.8 with 60,000 labels (n = 1), 86.9
with 1,000 labels (n = 1). Measured by `python scripts/release.py scripts/recipes/moco_v3_resnet8_fashion_mnist.py
--seeds 1 --device cuda`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="moco_v3",
    encoder="resnet8",
    dataset="fashion_mnist",
    views=(
        ("random_resized_crop", {"size": 28, "scale": (0.6, 1.0), "ratio": (0.9, 1.1), "flip": 0.5}),
        ("color_jitter", {"brightness": 0.8, "contrast": 0.8, "saturation": 0.0, "hue": 0.0}),
        ("gaussian_blur", {"kernel_size": 3, "sigma": (0.1, 1.0), "p": 0.5}),
        ("solarize", {"p": 0.3}),
        ("rand_augment", {"n_ops": 2, "magnitude": 9}),
    ),
    optimizer="adamw",
    learning_rate=3e-3,
    epochs=60,
    batch_size=512,
    warmup_epochs=2,
    method_options={
        "projector": (512, 128),
        "predictor": 512,
        "temperature": 0.2,
        "momentum": ("cosine", {"value": 0.99, "final": 1.0}),
    },
    encoder_options={"width": 16, "stem": "strided", "feature_dim": 2048, "grid": 4},
    optimizer_options={"weight_decay": 1e-4},
    precision="bfloat16",
    compile=True,
)
probes = (("fashion_mnist", (10, 100, 1_000, "all")), ("fashion_mnist_labels_1k", ("all",)))

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/moco_v3-resnet8-fashion_mnist", *sys.argv[1:]], prog_name="zoo")
