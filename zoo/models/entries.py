"""The models that can be loaded by name, as plain data: reading it does not import torch."""

from typing import NamedTuple

from zoo.errors import unknown


class Entry(NamedTuple):
    """A model of the zoo.

    Attributes:
        name: `METHOD-ENCODER-DATASET`.
        summary: a description in one line.
        sha256: SHA-256 of its model.safetensors, checked before the file is used.
        licence: licence of the weights, as an SPDX identifier.
    """

    name: str
    summary: str
    sha256: str
    licence: str


# The weights are in zoo/weights/NAME and ship with the package. `python scripts/release.py RECIPE` writes them and
# prints the entry.
ENTRIES: dict[str, Entry] = {
    "simclr-resnet8-cifar10_40k": Entry(
        name="simclr-resnet8-cifar10_40k",
        summary="SimCLR on 40,000 images of CIFAR-10: 32x32 colour images -> 512 features, 1.4 million parameters",
        sha256="f939660afd60268b59178e04385fd8d6576a37996d979ef1c3284a75172be314",
        licence="Apache-2.0",
    ),
    "simclr-resnet8-mnist": Entry(
        name="simclr-resnet8-mnist",
        summary="SimCLR on MNIST: 28x28 grey images -> 512 features, 374 thousand parameters",
        sha256="966060cf0daeac2c57c943fc36aa55a0546fbbd980efca4fbed57cf1a0a5f612",
        licence="Apache-2.0",
    ),
    "simclr-s3a-mnist_24k": Entry(
        name="simclr-s3a-mnist_24k",
        summary="SimCLR on 24,000 images of MNIST: 28x28 grey images -> 128 features, 420 thousand parameters",
        sha256="387eec7b5ac318fa74deb38731a55d7e14a2b46ac85468cba270196993b923ee",
        licence="Apache-2.0",
    ),
    "simclr-resnet8-digits": Entry(
        name="simclr-resnet8-digits",
        summary="SimCLR on scikit-learn's digits: 8x8 grey images -> 64 features, 77 thousand parameters",
        sha256="f1e660f40cc12e9fde6a224b02865dee30619875bc8d299efc42d9171af27f69",
        licence="Apache-2.0",
    ),
    "byol-resnet8-digits": Entry(
        name="byol-resnet8-digits",
        summary="BYOL on scikit-learn's digits: 8x8 grey images -> 64 features, 77 thousand parameters",
        sha256="0aef2976ed59aaffff9fe58a22976e323e0e04f30fa232964bdb8d70ffd1b60c",
        licence="Apache-2.0",
    ),
    "moco-resnet8-digits": Entry(
        name="moco-resnet8-digits",
        summary="MoCo v2 on scikit-learn's digits: 8x8 grey images -> 64 features, 77 thousand parameters",
        sha256="7ea3115f70b1587581feffe508e04666dab0825bc313c98e8da28ec446307a85",
        licence="Apache-2.0",
    ),
    "moco_v3-resnet8-digits": Entry(
        name="moco_v3-resnet8-digits",
        summary="MoCo v3 on scikit-learn's digits: 8x8 grey images -> 64 features, 77 thousand parameters",
        sha256="8b49f461854929204ceac9d4ba022eddde31fc6483f82ed686eed31bb4616f18",
        licence="Apache-2.0",
    ),
    "supervised-resnet8-digits": Entry(
        name="supervised-resnet8-digits",
        summary="Supervised baseline on scikit-learn's digits: 8x8 grey images -> 64 features, 77 thousand parameters",
        sha256="19528aa8dab74c2dbe96d606d1890e067d6ad1c5a6be72aca7b25a9c10beb25d",
        licence="Apache-2.0",
    ),
    "triplet-s1b-mnist": Entry(
        name="triplet-s1b-mnist",
        summary="System S1b, triplet loss on MNIST: 28x28 grey images -> 1,024 features, 675 thousand parameters",
        sha256="49716acd906eab92370abae1d4aa58761b3af41a2335d2e46d1a670854ee5370",
        licence="Apache-2.0",
    ),
    "supervised-s4-fashion_mnist_labels_1k": Entry(
        name="supervised-s4-fashion_mnist_labels_1k",
        summary="System S4b, 1,000 Fashion-MNIST labels: 28x28 grey images -> 2,048 features, 93 thousand parameters",
        sha256="5feb44ccd42c5cae824c80492fb7e3ea9927048f37fb5234065e39629b3d8177",
        licence="Apache-2.0",
    ),
    "autoencoder-s5-mnist_48k": Entry(
        name="autoencoder-s5-mnist_48k",
        summary="System S5, autoencoder on MNIST: 28x28 grey images -> 4 features, 43 thousand parameters",
        sha256="31b7507cab419f54a744f30c970087ede5d952e4ee4702c2bc367a236e0f9836",
        licence="Apache-2.0",
    ),
    "denoising_autoencoder-s5-mnist_48k": Entry(
        name="denoising_autoencoder-s5-mnist_48k",
        summary="System S5, denoising autoencoder on MNIST: 28x28 grey images -> 4 features, 43 thousand parameters",
        sha256="ff50a59e40317faec905412116b4d2432d0d9bbed2d4e564c6118237d4aeb4fb",
        licence="Apache-2.0",
    ),
    "supervised-s4-fashion_mnist": Entry(
        name="supervised-s4-fashion_mnist",
        summary="System S4a, all Fashion-MNIST labels: 28x28 grey images -> 2,048 features, 93 thousand parameters",
        sha256="a3016ba9816f030ebf7d640f4610d02d095ce81f28f8c7d86129e5578c506483",
        licence="Apache-2.0",
    ),
    "rotation-s2-cifar10": Entry(
        name="rotation-s2-cifar10",
        summary="System S2a, rotation on CIFAR-10: 32x32 colour images -> 128 features, 0.5 million parameters",
        sha256="ee1aa6acdf575ed33831288d4819a6195d975c8dc822647d919765b46a06faf4",
        licence="Apache-2.0",
    ),
    "pairwise_contrastive-s2-cifar10": Entry(
        name="pairwise_contrastive-s2-cifar10",
        summary="System S2b, pairs on CIFAR-10: 32x32 colour images -> 128 features, 0.5 million parameters",
        sha256="a9c97a8a1a1fadfe2a92c4edb2e591cadc5d8e196a3743fb6fd58a3f1f6bc2d9",
        licence="Apache-2.0",
    ),
}


def list_models() -> list[str]:
    """The names that `load` accepts, sorted."""
    return sorted(ENTRIES)


def entry(name: str) -> Entry:
    """The entry of a model, without loading it.

    Raises:
        ZooError: if the name is unknown; similar ones are listed.
    """
    if name not in ENTRIES:
        raise unknown("model", name, ENTRIES)
    return ENTRIES[name]
