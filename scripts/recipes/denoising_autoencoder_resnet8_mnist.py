"""A denoising autoencoder on MNIST with the small network of the README's table of methods.

python scripts/recipes/denoising_autoencoder_resnet8_mnist.py [--out OUT]      # all options of `zoo pretrain`

Result: 2.5 minutes per seed on NVIDIA H100 80GB HBM3, shared by up to 15 runs. Linear probe, accuracy in % on the
10,000 test images of mnist, mean +- standard deviation over seeds and draws: 80.7 +- 1.5 with 100 labels (n = 5), 94.1
+- 0.3 with 1,000 labels (n = 5), 97.6 +- 0.2 with 10,000 labels (n = 5), 98.5 with 60,000 labels (n = 1). Measured by
`python scripts/release.py scripts/recipes/denoising_autoencoder_resnet8_mnist.py --seeds 1 --device cuda`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="denoising_autoencoder",
    encoder="resnet8",
    dataset="mnist",
    views=(("affine", {"degrees": 15.0, "translate": (0.1, 0.1), "scale": (0.85, 1.15), "shear": (15.0, 15.0)}),),
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
probes = (("mnist", (10, 100, 1_000, "all")),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/denoising_autoencoder-resnet8-mnist", *sys.argv[1:]], prog_name="zoo")
