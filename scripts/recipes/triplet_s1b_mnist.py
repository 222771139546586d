"""System S1b: a Siamese network with the triplet loss on MNIST, as published.

python scripts/recipes/triplet_s1b_mnist.py [--out OUT]      # all options of `zoo pretrain`
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="triplet",
    encoder="s1b",
    dataset="mnist",
    views=(),
    optimizer="adam",
    learning_rate=7e-4,
    epochs=40,
    batch_size=256,
    method_options={"margin": 10.0},
    parameter_groups=(("*", {"schedule": "constant"}),),
    mean=(0.5,),
    std=(0.5,),
)
probes = (("mnist", (10, 100, "all")),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/triplet-s1b-mnist", *sys.argv[1:]], prog_name="zoo")
