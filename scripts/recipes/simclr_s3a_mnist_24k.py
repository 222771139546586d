"""SimCLR with the published network of S3a on the first 24,000 images of MNIST.

    python scripts/recipes/simclr_s3a_mnist_24k.py [--out OUT]      # all options of `zoo pretrain`

Result: 7.3 minutes per seed on Intel(R) Xeon(R) Processor, threads: 1. Linear probe, accuracy in % on the 10,000 test
images of mnist, mean +- standard deviation over seeds and draws: 92.9 +- 1.2 with 100 labels (n = 15), 97.2 +- 0.3 with
1,000 labels (n = 15), 98.3 +- 0.1 with 6,000 labels (n = 3), 98.5 +- 0.1 with 12,000 labels (n = 3). Measured by
`python scripts/release.py scripts/recipes/simclr_s3a_mnist_24k.py --seeds 3 --clusters`.
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
