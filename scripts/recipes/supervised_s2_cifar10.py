"""The network of S2 trained from scratch on all labels of CIFAR-10: its baseline.

python scripts/recipes/supervised_s2_cifar10.py [--out OUT]      # all options of `zoo pretrain`
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="supervised",
    encoder="s2",
    dataset="cifar10",
    views=(("random_resized_crop", {"size": 32, "scale": (0.5, 1.0), "flip": 0.5}),),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=15,
    batch_size=128,
    warmup_epochs=1,
    method_options={"label_smoothing": 0.1},
    optimizer_options={"weight_decay": 0.05},
    precision="bfloat16",
)
probes = (("cifar10", ("all",)),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/supervised-s2-cifar10", *sys.argv[1:]], prog_name="zoo")
