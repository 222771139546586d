"""A residual network trained from scratch on 20,000 labels of CIFAR-10: the baseline of S3b.

python scripts/recipes/supervised_resnet8_cifar10_labels_20k.py [--out OUT]      # all options of `zoo pretrain`
"""

import sys

import zoo
from zoo.commands import main

recipe = zoo.Recipe(
    method="supervised",
    encoder="resnet8",
    dataset="cifar10_labels_20k",
    views=(("random_resized_crop", {"size": 32, "scale": (0.5, 1.0), "flip": 0.5}),),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=30,
    batch_size=128,
    warmup_epochs=1,
    method_options={"label_smoothing": 0.1},
    encoder_options={"width": 64, "stem": "strided", "feature_dim": 512},
    optimizer_options={"weight_decay": 0.05},
    precision="bfloat16",
    compile=True,
)
probes = (("cifar10_labels_20k", ("all",)),)

if __name__ == "__main__":
    main(["pretrain", __file__, "--out", "runs/supervised-resnet8-cifar10_labels_20k", *sys.argv[1:]], prog_name="zoo")
