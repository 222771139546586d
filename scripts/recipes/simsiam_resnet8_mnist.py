"""SimSiam on MNIST with the small network of the README's table of methods.

python scripts/recipes/simsiam_resnet8_mnist.py [--out OUT]      # all options of `zoo pretrain`

Result: 3.2 minutes per seed on NVIDIA H100 80GB HBM3, shared by up to 15 runs. Linear probe, accuracy in % on the
10,000 test images of mnist, mean +- standard deviation over seeds and draws: 94.7 +- 0.9 with 100 labels (n = 5), 97.5
+- 0.3 with 1,000 labels (n = 5), 98.7 +- 0.0 with 10,000 labels (n = 5), 99.0 with 60,000 labels (n = 1). Measured by
`python scripts/release.py scripts/recipes/simsiam_resnet8_mnist.py --seeds 1 --device cuda`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="simsiam",
    encoder="resnet8",
    dataset="mnist",
    views=(
        ("elastic", {"std": 1.5, "grid": 5}),
        ("affine", {"degrees": 25.0, "translate": (0.1, 0.1), "scale": (0.7, 1.2), "shear": (30.0, 30.0)}),
        ("gaussian_blur", {"kernel_size": 3, "sigma": (0.1, 1.5), "p": 0.5}),
    ),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=6,
    batch_size=256,
    warmup_epochs=1,
    method_options={"projector": (512, 512), "predictor": 128},
    encoder_options={"width": 16, "stem": "strided", "feature_dim": 2048, "grid": 4},
    optimizer_options={"weight_decay": 1e-4},
    parameter_groups=(("predictor.*", {"schedule": "constant"}),),
    precision="float32",
    compile=True,
)
probes = (("mnist", (10, 100, 1_000, "all")),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/simsiam-resnet8-mnist", *sys.argv[1:]], prog_name="zoo")
