"""System S1a: a Siamese network with the triplet loss on MNIST, as published.

python scripts/recipes/triplet_s1a_mnist.py [--out OUT]      # all options of `zoo pretrain`
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="triplet",
    encoder="s1a",
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
    precision="float32",
    compile=True,
)
probes = (("mnist", (10, 100, "all")),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/triplet-s1a-mnist", *sys.argv[1:]], prog_name="zoo")
