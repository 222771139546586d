"""The models that can be loaded by name, as plain data: reading it does not import torch."""

from typing import NamedTuple

from zoo.errors import unknown

SHIPPED_LICENCE = "apache-2.0"  # of the weights of every entry, as hubs name it


class Entry(NamedTuple):
    """A model of the zoo.

    Attributes:
        name: `METHOD-ENCODER-DATASET`.
        summary: a description in one line.
        sha256: SHA-256 of its model.safetensors.
        config_sha256: SHA-256 of its config.json, which has that of the weights; both are checked before use.
        licence: licence of the weights, as an SPDX identifier.
    """

    name: str
    summary: str
    sha256: str
    config_sha256: str
    licence: str


# The weights are in zoo/weights/NAME and ship with the package. `python scripts/release.py RECIPE` writes them and
# prints the entry.
ENTRIES: dict[str, Entry] = {
    "simclr-resnet8-cifar10_40k": Entry(
        name="simclr-resnet8-cifar10_40k",
        summary="SimCLR on 40,000 images of CIFAR-10: 32x32 colour images -> 512 features, 1.4 million parameters",
        sha256="498a21b309cb2c66a41944adfdf2534573c8ac8453a0dfcf7f638f34741626ec",
        config_sha256="903b5f435eacca239b1e2423d50a043b3e92ffe1c24f2d2b8685ab68238b6185",
        licence="Apache-2.0",
    ),
    "simclr-resnet8-mnist": Entry(
        name="simclr-resnet8-mnist",
        summary="SimCLR on MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="1467e317ee27594d7730c5310debef800be749cdd7c8b61982982bc49bd81648",
        config_sha256="b33d49a01f0a3ef31788f9e38d1491a833ba15b50fb5575b942bc433bfc89517",
        licence="Apache-2.0",
    ),
    "simclr-s3a-mnist_24k": Entry(
        name="simclr-s3a-mnist_24k",
        summary="SimCLR on 24,000 images of MNIST: 28x28 grey images -> 128 features, 420 thousand parameters",
        sha256="387eec7b5ac318fa74deb38731a55d7e14a2b46ac85468cba270196993b923ee",
        config_sha256="2e5136a48cc565af17312482ece19d54e37adc3f121c1f0f9aca424864b14010",
        licence="Apache-2.0",
    ),
    "simclr-resnet8-digits": Entry(
        name="simclr-resnet8-digits",
        summary="SimCLR on scikit-learn's digits: 8x8 grey images -> 64 features, 77 thousand parameters",
        sha256="ca74ceffff3995de6bfe70b93983ad1623d04c0bf24a3e976320f229fe8e7463",
        config_sha256="68a96e9bd355660bd190700e6a241e875bd513f141eb3c6169b1a0753a09e9fd",
        licence="Apache-2.0",
    ),
    "byol-resnet8-digits": Entry(
        name="byol-resnet8-digits",
        summary="BYOL on scikit-learn's digits: 8x8 grey images -> 64 features, 77 thousand parameters",
        sha256="0aef2976ed59aaffff9fe58a22976e323e0e04f30fa232964bdb8d70ffd1b60c",
        config_sha256="6740881bb89e52d561f7a31b6fcf275f5b34b1eda963602bb44257b6dbac8465",
        licence="Apache-2.0",
    ),
    "moco-resnet8-digits": Entry(
        name="moco-resnet8-digits",
        summary="MoCo v2 on scikit-learn's digits: 8x8 grey images -> 64 features, 77 thousand parameters",
        sha256="7ea3115f70b1587581feffe508e04666dab0825bc313c98e8da28ec446307a85",
        config_sha256="e9b05ffe33570bd773d9dad70b67b2472b418cc205c05aae8f7e178314263416",
        licence="Apache-2.0",
    ),
    "moco_v3-resnet8-digits": Entry(
        name="moco_v3-resnet8-digits",
        summary="MoCo v3 on scikit-learn's digits: 8x8 grey images -> 64 features, 77 thousand parameters",
        sha256="8b49f461854929204ceac9d4ba022eddde31fc6483f82ed686eed31bb4616f18",
        config_sha256="3fd1c03031081c1b66faefbd5936d95e29bfc46b2fcb3db8684dddea77edde9c",
        licence="Apache-2.0",
    ),
    "supervised-resnet8-digits": Entry(
        name="supervised-resnet8-digits",
        summary="Supervised baseline on scikit-learn's digits: 8x8 grey images -> 64 features, 77 thousand parameters",
        sha256="19528aa8dab74c2dbe96d606d1890e067d6ad1c5a6be72aca7b25a9c10beb25d",
        config_sha256="c0f86bea657ad6640699e63a242a78cd4541ab5c3ed518ac89898be53f23e764",
        licence="Apache-2.0",
    ),
    "triplet-s1b-mnist": Entry(
        name="triplet-s1b-mnist",
        summary="System S1b, triplet loss on MNIST: 28x28 grey images -> 1,024 features, 675 thousand parameters",
        sha256="49716acd906eab92370abae1d4aa58761b3af41a2335d2e46d1a670854ee5370",
        config_sha256="a31742fc5bba03924f63d89b99da7348a013fef1f6d276674e1b5caf617adbdb",
        licence="Apache-2.0",
    ),
    "supervised-s4-fashion_mnist_labels_1k": Entry(
        name="supervised-s4-fashion_mnist_labels_1k",
        summary="System S4b, 1,000 Fashion-MNIST labels: 28x28 grey images -> 2,048 features, 93 thousand parameters",
        sha256="5feb44ccd42c5cae824c80492fb7e3ea9927048f37fb5234065e39629b3d8177",
        config_sha256="9d275dccd60f49a6e23052f05394fe22d5b8681b04af6248c26d8c21793e0fec",
        licence="Apache-2.0",
    ),
    "autoencoder-s5-mnist_48k": Entry(
        name="autoencoder-s5-mnist_48k",
        summary="System S5, autoencoder on MNIST: 28x28 grey images -> 4 features, 43 thousand parameters",
        sha256="31b7507cab419f54a744f30c970087ede5d952e4ee4702c2bc367a236e0f9836",
        config_sha256="b6dec4fa846f0340fdd5e6f2af33e7ccc565d1bd7a2d88ee207482d8daf7e949",
        licence="Apache-2.0",
    ),
    "denoising_autoencoder-s5-mnist_48k": Entry(
        name="denoising_autoencoder-s5-mnist_48k",
        summary="System S5, denoising autoencoder on MNIST: 28x28 grey images -> 4 features, 43 thousand parameters",
        sha256="ff50a59e40317faec905412116b4d2432d0d9bbed2d4e564c6118237d4aeb4fb",
        config_sha256="a3896da25feea2744285c7ad853e16bac0b28ace60ada2a205d511ebfda73cab",
        licence="Apache-2.0",
    ),
    "autoencoder-latent_cnn-mnist_48k": Entry(
        name="autoencoder-latent_cnn-mnist_48k",
        summary="Autoencoder on MNIST (S5): 28x28 grey images -> 4 features, 287 thousand parameters",
        sha256="1d1f2f446538b9b5aaf6594a40499e515929d4afbad653e6a7cd5b86557c01b4",
        config_sha256="d4274314b9ebf04d40641c6eaab048e040c64fb8702b36b94be0ff7a8a207f53",
        licence="Apache-2.0",
    ),
    "denoising_autoencoder-latent_cnn-mnist_48k": Entry(
        name="denoising_autoencoder-latent_cnn-mnist_48k",
        summary="Denoising autoencoder on MNIST (S5): 28x28 grey images -> 4 features, 287 thousand parameters",
        sha256="e3377ac05a8ce031127c3b2b7f736e87194ff7cf49d218e0b3ac38d5c48720c5",
        config_sha256="7d0d4d2dc7b55a9e4a30ffadacc24ce7db1857da32297ae6380ad5aac6542b2b",
        licence="Apache-2.0",
    ),
    "supervised-s4-fashion_mnist": Entry(
        name="supervised-s4-fashion_mnist",
        summary="System S4a, all Fashion-MNIST labels: 28x28 grey images -> 2,048 features, 93 thousand parameters",
        sha256="a3016ba9816f030ebf7d640f4610d02d095ce81f28f8c7d86129e5578c506483",
        config_sha256="7bf0bf57e7aa22082ff552e76f99ab265f393967a99fc07c980867cb8db69cb2",
        licence="Apache-2.0",
    ),
    "rotation-s2-cifar10": Entry(
        name="rotation-s2-cifar10",
        summary="System S2a, rotation on CIFAR-10: 32x32 colour images -> 128 features, 0.5 million parameters",
        sha256="ee1aa6acdf575ed33831288d4819a6195d975c8dc822647d919765b46a06faf4",
        config_sha256="7a7ff736cb6968eed84f65b5b8cb9121612b616d55075228e86f6add1dc791eb",
        licence="Apache-2.0",
    ),
    "pairwise_contrastive-s2-cifar10": Entry(
        name="pairwise_contrastive-s2-cifar10",
        summary="System S2b, pairs on CIFAR-10: 32x32 colour images -> 128 features, 0.5 million parameters",
        sha256="a9c97a8a1a1fadfe2a92c4edb2e591cadc5d8e196a3743fb6fd58a3f1f6bc2d9",
        config_sha256="eebee9b40b7c8f69d0a999d25e1ba467aafe2a6a5addac936535fe9fb229b21a",
        licence="Apache-2.0",
    ),
    "simclr-resnet8-fashion_mnist": Entry(
        name="simclr-resnet8-fashion_mnist",
        summary="SimCLR on Fashion-MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="b2cd38cf86d29805837d185d9e095c40d6b9b01782a8640aa4615b019fb0ce76",
        config_sha256="283e1430862a5ed07b427549d709ebd3a81ab1d7f0d69c29e8ae5cc8ca291330",
        licence="Apache-2.0",
    ),
    "supervised-resnet8-fashion_mnist": Entry(
        name="supervised-resnet8-fashion_mnist",
        summary="A supervised network on Fashion-MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="c6ceb180567edb81b2c23631092b823c1d1bb54607bf75b75786a199ae253206",
        config_sha256="9d344e2c3467766adc9038c62ec0703a7e6687608460360988ff41b063cfb5c4",
        licence="Apache-2.0",
    ),
    "supervised-resnet8-mnist": Entry(
        name="supervised-resnet8-mnist",
        summary="A supervised network on MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="56b65593e6430c0b5e32019806e099f13699a6eee24da708c5385a64b34f929a",
        config_sha256="c21a700961b4896d0353c45d91b7811cace9ba4efb4f0128d779a184c68c5edf",
        licence="Apache-2.0",
    ),
    "byol-resnet8-fashion_mnist": Entry(
        name="byol-resnet8-fashion_mnist",
        summary="BYOL on Fashion-MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="a18a72d6ae4d80e845c68d2c6f69018ef76b9aebd7d3b9c6301b808ad8c0fe6a",
        config_sha256="8e7471e6a964343375332bcadee9518e2932a5af4213d0fb97cc0c7f6c01c00d",
        licence="Apache-2.0",
    ),
    "moco-resnet8-fashion_mnist": Entry(
        name="moco-resnet8-fashion_mnist",
        summary="MoCo on Fashion-MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="53d03114e8e36fbef4c79c16e43c17e5144f11015bc68ab26be532994002623b",
        config_sha256="5d5bab5098dc817086e9a182ee98d63177ae2520a46516cf6325217731b0009c",
        licence="Apache-2.0",
    ),
    "moco-resnet8-mnist": Entry(
        name="moco-resnet8-mnist",
        summary="MoCo on MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="c6bba368f58357989487bbe3f304794d1b97c27a83570f4e0e226c0af7631768",
        config_sha256="c51c0535590996ba565c35df4050403ef44f7dc0b0cbc7e5e5cd0a461ad4c42c",
        licence="Apache-2.0",
    ),
    "rotation-resnet8-fashion_mnist": Entry(
        name="rotation-resnet8-fashion_mnist",
        summary="Rotation prediction on Fashion-MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="3512c16c2035c0dbfbc47a117fe4ad202d40cece7b1db6f0e24077f728c74f4d",
        config_sha256="e67f86f2ff2b8f3af783216d876a09b2865837aacab06922a7562bd9f01c6b9a",
        licence="Apache-2.0",
    ),
    "denoising_autoencoder-resnet8-fashion_mnist": Entry(
        name="denoising_autoencoder-resnet8-fashion_mnist",
        summary="Denoising autoencoder on Fashion-MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="2ae0a05270d2b78b0c15f6a70e9cf16e8891fa83ee261d083e58433450bf8f53",
        config_sha256="3c2cc678b3cbad6551ef1707670e00eb1c57fe0495dd9f0fe01d2cbd93dc48ec",
        licence="Apache-2.0",
    ),
    "simsiam-resnet8-fashion_mnist": Entry(
        name="simsiam-resnet8-fashion_mnist",
        summary="SimSiam on Fashion-MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="1ef63422574b3776cbe933ec521b0bd04ea852ab1904eb350182a0ce29c30ecb",
        config_sha256="0cb8f0798c5818c358c8a4dd7b888fa1045cbc49670e0cf315fb12896786e019",
        licence="Apache-2.0",
    ),
    "triplet-resnet8-fashion_mnist": Entry(
        name="triplet-resnet8-fashion_mnist",
        summary="Triplet loss on Fashion-MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="f1bae55674124534c6afbbe5cd764bcb5674f7cd35adaeec431f849cc58c0d00",
        config_sha256="697d51435dcb14245a13642322d33731c33b2e966ea01db6744448409417d9cc",
        licence="Apache-2.0",
    ),
    "simclr-resnet18-cifar10": Entry(
        name="simclr-resnet18-cifar10",
        summary="SimCLR on CIFAR-10, trained on a GPU: 32x32 colour images -> 512 features, 11.2 million parameters",
        sha256="0542bc2119ab20ad624424364fff12894c09fe30325f60e111e0cea8a4c24b8d",
        config_sha256="e286337b11cc536977c5c274c023c2f3630c609814a173dd6dc672404a8e5346",
        licence="Apache-2.0",
    ),
    "triplet-resnet8-mnist": Entry(
        name="triplet-resnet8-mnist",
        summary="Triplet loss on MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="0c4dfe4db1bd615c001d58855e1360182289de5c515e6375b11c2a80fa7ad9ef",
        config_sha256="ab7a4e5ee3e932e626cb3cf88ff921602289575f4569fcea05991e4e02e816ce",
        licence="Apache-2.0",
    ),
    "simclr-resnet8-cifar10": Entry(
        name="simclr-resnet8-cifar10",
        summary="SimCLR on CIFAR-10: 32x32 colour images -> 1,024 features, 740 thousand parameters",
        sha256="50c5cc4f8ae9fce1610b59a5a4cc80979b7be8d92b273e9d270df6cf8b035859",
        config_sha256="88b1a477a76fd92349515416e603a00146d957e24b978bbe8380416834e6dc5e",
        licence="Apache-2.0",
    ),
    "rotation-resnet8-cifar10": Entry(
        name="rotation-resnet8-cifar10",
        summary="Rotation prediction on CIFAR-10: 32x32 colour images -> 1,024 features, 740 thousand parameters",
        sha256="463bdea65b147a0455d147173e4578466990b8aaf400f86ada5a2e26aedf40de",
        config_sha256="81b09ca271dcb1ae8366a6f6abb334d1c66f365b0778a4c504c25f2bda4a7bf5",
        licence="Apache-2.0",
    ),
    "pairwise_contrastive-resnet8-cifar10": Entry(
        name="pairwise_contrastive-resnet8-cifar10",
        summary="Pairs of images on CIFAR-10: 32x32 colour images -> 1,024 features, 740 thousand parameters",
        sha256="bcfb41fd5deee04edcaa3eeb47b3750cfdfd56fccb28a7f78d7c3f696ae060f9",
        config_sha256="0285a3c8df4252afb9cfbc8523829ce5a7b6ae1699aa525c6eea2528cf8886df",
        licence="Apache-2.0",
    ),
    "byol-resnet8-cifar10": Entry(
        name="byol-resnet8-cifar10",
        summary="BYOL on CIFAR-10: 32x32 colour images -> 1,024 features, 740 thousand parameters",
        sha256="497984bc17a6c17f2e30be614da0f8b9433c68e06654cf30d716f5d7ed34ec0a",
        config_sha256="3dc84ab408acd10640156b3753205a9c51bed0748843c91ac8d98fd4484433ed",
        licence="Apache-2.0",
    ),
    "moco-resnet8-cifar10": Entry(
        name="moco-resnet8-cifar10",
        summary="MoCo on CIFAR-10: 32x32 colour images -> 1,024 features, 740 thousand parameters",
        sha256="3020102af8e109da8b7782897be66b99941e7b0ff9111453fed41728cfbf5efd",
        config_sha256="fabeb32ada34f4e5e103857a9a36f1b673bc834b6f09f124ceb2eaacca55bde3",
        licence="Apache-2.0",
    ),
    "simsiam-resnet8-cifar10": Entry(
        name="simsiam-resnet8-cifar10",
        summary="SimSiam on CIFAR-10: 32x32 colour images -> 1,024 features, 740 thousand parameters",
        sha256="027e223ac99b7f9fafa97a5c3ecc724e0aeed08b8cd7417424fb2d61d699416f",
        config_sha256="1a3ede3f59e92b044d7f7fafa2787c9fa58feacc03fe08f3b5bbb493ddb5b3ec",
        licence="Apache-2.0",
    ),
    "byol-resnet8-mnist": Entry(
        name="byol-resnet8-mnist",
        summary="BYOL on MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="f0289c777ed7c614a71e41a935f0b468f9655e9d53c35ce40aaa361f48ce08e3",
        config_sha256="49b4673a60fb191da9a3c513253dc7bae1130c1e4482433d416ca100ebcbac3c",
        licence="Apache-2.0",
    ),
    "moco_v3-resnet8-fashion_mnist": Entry(
        name="moco_v3-resnet8-fashion_mnist",
        summary="MoCo v3 on Fashion-MNIST, 60 epochs: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="1be88f06f54098025e4f4759f7e4218657a0785b5934d6b1420f4c9b59c71f3b",
        config_sha256="3505341cb9d014c3fc435820a2db80fd8767314399eaf07d64e69f61b29880fe",
        licence="Apache-2.0",
    ),
    "rotation-resnet8-mnist": Entry(
        name="rotation-resnet8-mnist",
        summary="Rotation prediction on MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="0e821fc50326999d67af89c4cf2846d6594f232d356ec9fac428b8d75105faac",
        config_sha256="e893052cefa6b4763a9b328c6e56335c369c87a62dbdd49e9cba5d749835056b",
        licence="Apache-2.0",
    ),
    "denoising_autoencoder-resnet8-mnist": Entry(
        name="denoising_autoencoder-resnet8-mnist",
        summary="Denoising autoencoder on MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="34da660a328473b9450c731d928debcf2a681637a691043b60d7a442c4891ab1",
        config_sha256="3bdf39ba4c25309cdbdba138625729344dd0b4a1395b4c3a4d342293ffce7fc0",
        licence="Apache-2.0",
    ),
    "simsiam-resnet8-mnist": Entry(
        name="simsiam-resnet8-mnist",
        summary="SimSiam on MNIST: 28x28 grey images -> 2,048 features, 86 thousand parameters",
        sha256="34f56e4d9788e3ca69d1b95547bada83f69a78ac693faface55703f8d281bbd3",
        config_sha256="85c548a3654e0d5e37084a563cd7d53e9c2e55bff41b8b0fa76718d76ad2a037",
        licence="Apache-2.0",
    ),
    "simsiam-s4-fashion_mnist": Entry(
        name="simsiam-s4-fashion_mnist",
        summary="System S4c, SimSiam on Fashion-MNIST: 28x28 grey images -> 2,048 features, 93 thousand parameters",
        sha256="305c105ce58c830fd528140536feb1ce2e16688e267567efeb72a4c5751857cf",
        config_sha256="33b33def151dc10875a0fb39e77e7c3af7267789aceb5d98e9276cca4392e30d",
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
