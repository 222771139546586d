"""System S5: a denoising convolutional autoencoder on MNIST, as published.

python scripts/recipes/denoising_autoencoder_s5_mnist_48k.py [--out OUT]      # all options of `zoo pretrain`

Result: 8.8 minutes per seed on AMD EPYC, threads: 1. Linear probe, accuracy in % on the 10,000 test images of mnist,
mean +- standard deviation over seeds and draws: 87.5 +- 1.1 with 100 labels (n = 5), 91.5 +- 0.2 with 1,000 labels (n =
5), 92.1 with 60,000 labels (n = 1). Measured by `python scripts/release.py
scripts/recipes/denoising_autoencoder_s5_mnist_48k.py --seeds 1`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="denoising_autoencoder",
    encoder="s5",
    dataset="mnist_48k",
    views=(),
    optimizer="adam",
    learning_rate=1e-3,
    epochs=30,
    batch_size=256,
    method_options={"noise": 0.3, "squared_error": True},
    optimizer_options={"weight_decay": 1e-5},
    parameter_groups=(("*", {"schedule": "constant"}),),
    mean=(0.0,),
    std=(1.0,),
)
probes = (("mnist", (10, 100, "all")),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/denoising_autoencoder-s5-mnist_48k", *sys.argv[1:]], prog_name="zoo")
