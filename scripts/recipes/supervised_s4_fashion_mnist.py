"""System S4a: a supervised network on all labels of Fashion-MNIST, as published.

python scripts/recipes/supervised_s4_fashion_mnist.py [--out OUT]      # all options of `zoo pretrain`

Result: 5.0 minutes per seed on AMD EPYC, threads: 1. Linear probe, accuracy in % on the 10,000 test images of
fashion_mnist, mean +- standard deviation over seeds and draws: 90.8 with 60,000 labels (n = 1). Measured by `python
scripts/release.py scripts/recipes/supervised_s4_fashion_mnist.py --seeds 1`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="supervised",
    encoder="s4",
    dataset="fashion_mnist",
    views=(),
    optimizer="sgd",
    learning_rate=1e-3,
    epochs=10,
    batch_size=64,
    method_options={"head": (32,)},
    optimizer_options={"momentum": 0.9, "weight_decay": 1e-5},
    parameter_groups=(("*", {"schedule": "constant"}),),
    mean=(0.0,),
    std=(1.0,),
)
probes = (("fashion_mnist", ("all",)),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/supervised-s4-fashion_mnist", *sys.argv[1:]], prog_name="zoo")
