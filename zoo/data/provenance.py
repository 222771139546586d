"""Where the named datasets come from, who made them, and under which licence: what a card has to say of its data."""

from typing import NamedTuple

from zoo.data.names import whole_dataset


class Provenance(NamedTuple):
    """The origin of a dataset.

    Attributes:
        title: its name in text.
        hub_id: its OWNER/NAME on the Hugging Face Hub; None if it is not there.
        origin: who made it, and of what.
        licence: its licence, or what is known of it.
    """

    title: str
    hub_id: str | None
    origin: str
    licence: str


PROVENANCES = {
    "digits": Provenance(
        "scikit-learn's digits",
        None,
        "1,797 handwritten digits of 8 x 8 pixels, the test set of E. Alpaydin and C. Kaynak, Optical Recognition of "
        "Handwritten Digits, UCI Machine Learning Repository, 1998, as scikit-learn ships it",
        "CC BY 4.0",
    ),
    "mnist": Provenance(
        "MNIST",
        "ylecun/mnist",
        "Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST database of handwritten digits, 1998, drawn from NIST's",
        "MIT by its page on the Hub, CC BY-SA 3.0 by other copies",
    ),
    "fashion_mnist": Provenance(
        "Fashion-MNIST",
        "zalando-datasets/fashion_mnist",
        "H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning "
        "algorithms, arXiv 1708.07747, of photos of Zalando's articles",
        "MIT",
    ),
    "cifar10": Provenance(
        "CIFAR-10",
        "uoft-cs/cifar10",
        "A. Krizhevsky, Learning multiple layers of features from tiny images, 2009, a part of the 80 million tiny "
        "images, which were collected from the web",
        "none stated by its authors",
    ),
}


def provenance(name: str) -> Provenance | None:
    """The origin of a dataset or of the dataset that a subset belongs to; None for a user's own data.

    Example:
        >>> provenance("mnist_24k").hub_id
        'ylecun/mnist'
    """
    return PROVENANCES.get(whole_dataset(name))
