"""Reconstruction: how near the images that a decoder makes of features are to the originals."""

from collections.abc import Sequence
from typing import Any

from torch.nn.functional import binary_cross_entropy, mse_loss

from functional.augmentations import to_float
from zoo.data.datasets import Dataset
from zoo.errors import ZooError
from zoo.evaluation.protocol import spread
from zoo.models.pretrained import MOST_REFINED, PretrainedEncoder

ERRORS = ("mean_squared_error", "binary_cross_entropy")
_STEPS = 5  # of refining


def reconstruction_error(model: PretrainedEncoder, data: Dataset, *, steps: int = 0) -> dict[str, float]:
    """The errors of reconstructed test images per pixel, for pixels in 0..1.

    Args:
        model: an encoder with a decoder.
        data: a dataset with test images, whose labels are not used.
        steps: by which `model.refine` improves the features first.

    Returns:
        The `ERRORS`, means over all pixels of all images. The cross-entropy is in nats; for grey pixels it is above 0
        even if the reconstruction is perfect.

    Raises:
        ZooError: if there are no test images, or the encoder has no decoder, or as in `model.refine`.
    """
    if data.test is None:
        raise ZooError(f"{data.name}: has no test_images to reconstruct")
    latents = model.features(data.test.images)
    if steps:
        latents = model.refine(data.test.images, latents, steps=steps)
    decoded, originals = model.decode(latents), to_float(data.test.images)
    values = mse_loss(decoded, originals).item(), binary_cross_entropy(decoded, originals).item()
    return dict(zip(ERRORS, values, strict=True))


def reconstruction(models: Sequence[PretrainedEncoder], data: Dataset) -> dict[str, Any]:
    """A record of the errors of several models, such as one per training seed; of few latents also when refined.

    Raises:
        ZooError: as in `reconstruction_error`.
    """

    def errors(steps: int) -> dict[str, Any]:
        found = [reconstruction_error(model, data, steps=steps) for model in models]
        return {name: spread([own[name] for own in found]) for name in ERRORS}

    record = {"data": data.name, "test_images": len(data.test.images) if data.test else 0, **errors(0)}
    if models[0].feature_dim <= MOST_REFINED:
        record["refined"] = {"steps": _STEPS, **errors(_STEPS)}
    return record
