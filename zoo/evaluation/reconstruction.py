"""Reconstruction: how near the images that a decoder makes of features are to the originals."""

from collections.abc import Sequence
from typing import Any

from torch.nn.functional import binary_cross_entropy, mse_loss

from functional.augmentations import to_float
from zoo.data.datasets import Dataset
from zoo.errors import ZooError
from zoo.evaluation.protocol import spread
from zoo.models.pretrained import PretrainedEncoder

ERRORS = ("mean_squared_error", "binary_cross_entropy")


def reconstruction_error(model: PretrainedEncoder, data: Dataset) -> dict[str, float]:
    """The errors of reconstructed test images per pixel, for pixels in 0..1.

    Args:
        model: an encoder with a decoder.
        data: a dataset with test images, whose labels are not used.

    Returns:
        The `ERRORS`, means over all pixels of all images. The cross-entropy is in nats; for grey pixels it is above 0
        even if the reconstruction is perfect.

    Raises:
        ZooError: if there are no test images, or the encoder has no decoder.
    """
    if data.test is None:
        raise ZooError(f"{data.name}: has no test_images to reconstruct")
    decoded, originals = model.decode(model.features(data.test.images)), to_float(data.test.images)
    values = mse_loss(decoded, originals).item(), binary_cross_entropy(decoded, originals).item()
    return dict(zip(ERRORS, values, strict=True))


def reconstruction(models: Sequence[PretrainedEncoder], data: Dataset) -> dict[str, Any]:
    """A record of the errors of several models, such as one per training seed.

    Raises:
        ZooError: as in `reconstruction_error`.
    """
    found = [reconstruction_error(model, data) for model in models]
    errors = {name: spread([own[name] for own in found]) for name in ERRORS}
    return {"data": data.name, "test_images": len(data.test.images) if data.test else 0, **errors}
