"""A denoising autoencoder on Fashion-MNIST with the small network of the README's table of methods.

python scripts/recipes/denoising_autoencoder_resnet8_fashion_mnist.py [--out OUT]      # all options of `zoo pretrain`
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="denoising_autoencoder",
    encoder="resnet8",
    dataset="fashion_mnist",
    views=(("random_resized_crop", {"size": 28, "scale": (0.7, 1.0), "ratio": (0.9, 1.1), "flip": 0.5}),),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=6,
    batch_size=256,
    warmup_epochs=1,
    method_options={"noise": 0.3, "decoder": ("s5_decoder", {"width": 2})},
    encoder_options={"width": 16, "stem": "strided", "feature_dim": 2048, "grid": 4},
    optimizer_options={"weight_decay": 1e-4},
    mean=(0.0,),
    std=(1.0,),
    precision="float32",
    compile=True,
)
probes = (("fashion_mnist", (10, 100, 1_000, "all")),)

if __name__ == "__main__":
    main(
        ["pretrain", __file__, "--out", "runs/denoising_autoencoder-resnet8-fashion_mnist", *sys.argv[1:]],
        prog_name="zoo",
    )
