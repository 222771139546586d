"""SimCLR with the published network of S3a on the first 24,000 images of MNIST.

python scripts/recipes/simclr_s3a_mnist_24k.py [--out OUT]      # all options of `zoo pretrain`
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="simclr",
    encoder="s3a",
    dataset="mnist_24k",
    views=(
        ("random_resized_crop", {"size": 28, "scale": (0.4, 1.0)}),
        ("rotate", {"degrees": 15.0}),
    ),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=20,
    batch_size=256,
    warmup_epochs=1,
    method_options={"projector": (256, 128), "temperature": 0.2},
    optimizer_options={"weight_decay": 1e-4},
    precision="bfloat16",
)
probes = (("mnist_labels_6k", (10, 100, "all")), ("mnist_labels_12k", ("all",)))

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/simclr-s3a-mnist_24k", *sys.argv[1:]], prog_name="zoo")
