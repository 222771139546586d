"""System S4c: SimSiam on Fashion-MNIST, with the projector and the learning rate of the paper.

The published system has no projector and a constant learning rate of 1e-4 for 100 epochs; Chen and He 2021
(arXiv:2011.10566, sections 4 and D) have a projector, and .05 that decays by a cosine: 30 epochs here.

python scripts/recipes/simsiam_s4_fashion_mnist.py [--out OUT]      # all options of `zoo pretrain`

Result: 3.2 minutes per seed on NVIDIA H100 80GB HBM3, shared by up to 15 runs. Linear probe, accuracy in % on the
10,000 test images of fashion_mnist, mean +- standard deviation over seeds and draws: 72.6 +- 1.5 with 100 labels (n =
5), 83.9 +- 0.4 with 1,000 labels (n = 5), 90.4 with 60,000 labels (n = 1), 84.0 with 1,000 labels (n = 1). Measured by
`python scripts/release.py scripts/recipes/simsiam_s4_fashion_mnist.py --seeds 1 --device cuda`.
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="simsiam",
    encoder="s4",
    dataset="fashion_mnist",
    views=(("rand_augment", {"n_ops": 5, "magnitude": 9}),),
    optimizer="sgd",
    learning_rate=0.05,
    epochs=30,
    batch_size=256,
    method_options={"projector": (512, 2048), "predictor": 64},
    optimizer_options={"momentum": 0.9, "weight_decay": 1e-5},
    mean=(0.0,),
    std=(1.0,),
    precision="float32",
    compile=True,
)
probes = (("fashion_mnist", (10, 100, "all")), ("fashion_mnist_labels_1k", ("all",)))

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/simsiam-s4-fashion_mnist", *sys.argv[1:]], prog_name="zoo")
