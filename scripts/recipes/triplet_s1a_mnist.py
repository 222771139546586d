"""System S1a: a Siamese network with the triplet loss on MNIST, as published.

python scripts/recipes/triplet_s1a_mnist.py [--out OUT]      # all options of `zoo pretrain`

Result: 2.6 minutes per seed on NVIDIA H100 80GB HBM3, shared by up to 15 runs. Linear probe, accuracy in % on the
10,000 test images of mnist, mean +- standard deviation over seeds and draws: 98.0 +- 0.4 with 100 labels (n = 5), 98.5
+- 0.2 with 1,000 labels (n = 5), 98.9 with 60,000 labels (n = 1). Measured by `python scripts/release.py
scripts/recipes/triplet_s1a_mnist.py --seeds 1 --device cuda --no-weights`.
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
