"""An autoencoder with 4 latents on MNIST (S5), with waves of the latents.

python scripts/recipes/autoencoder_latent_cnn_mnist_48k.py [--out OUT]      # all options of `zoo pretrain`
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="autoencoder",
    encoder="latent_cnn",
    dataset="mnist_48k",
    views=(),
    optimizer="adamw",
    learning_rate=3e-3,
    epochs=40,
    batch_size=256,
    warmup_epochs=2,
    method_options={"squared_error": True, "decoder": ("fourier_decoder", {})},
    encoder_options={"latent_dim": 4, "width": 16, "hidden": 256},
    optimizer_options={"weight_decay": 0.05},
    mean=(0.0,),
    std=(1.0,),
    precision="float32",
)
probes = (("mnist", (10, 100, "all")),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/autoencoder-latent_cnn-mnist_48k", *sys.argv[1:]], prog_name="zoo")
