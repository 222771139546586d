"""The plane of an autoencoder's latents: images decoded from it, and the latents of images as points in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.errors import ZooError
from zoo.reports.figures._shared import GREYS, mosaic, new_figure, pixels, write
from zoo.reports.figures.maps import feature_map

_SIDE = 10  # images along a side of the plane


class LatentPlane(NamedTuple):
    """A plane in the space of latents, and the part of it to look at.

    The point with coordinates (a, b) is `origin + a * directions[0] + b * directions[1]`.

    Attributes:
        origin: `[D]`.
        directions: `[2, D]`, orthogonal.
        limits: the range of each coordinate.
        axis_labels: what each coordinate is.
    """

    origin: Float[Tensor, " dim"]
    directions: Float[Tensor, "2 dim"]
    limits: tuple[tuple[float, float], tuple[float, float]]
    axis_labels: tuple[str, str]

    @classmethod
    def of(cls, latents: Float[Tensor, "rows dim"]) -> "LatentPlane":
        """The plane of the two latents themselves, or of the first two principal components of more.

        Two latents are seen between their 1st and 99th percentiles; principal components, which are in standard
        deviations from the mean, between -2.5 and 2.5.

        Args:
            latents: `[N, D]`, N >= 3, D >= 2.

        Raises:
            ZooError: if there are too few images or latents.

        Example:
            >>> latents = torch.tensor([[0.0, 0.0, 1.0], [2.0, 0.0, 1.0], [4.0, 1.0, 1.0]])
            >>> LatentPlane.of(latents).coordinates(latents)[:, 0]
            tensor([-0.9794, -0.0399,  1.0194])
        """
        n, dim = latents.shape
        if n < 3 or dim < 2:
            raise ZooError(f"latent plane: expected 3 images and 2 latents or more, got {n} and {dim}")
        if dim == 2:
            low, high = latents.quantile(torch.tensor([0.01, 0.99]), dim=0).tolist()
            limits = (low[0], high[0]), (low[1], high[1])
            return cls(torch.zeros(2), torch.eye(2), limits, ("latent 1", "latent 2"))
        mean = latents.mean(0)
        _, spreads, axes = torch.linalg.svd(latents - mean, full_matrices=False)
        # A principal component has no sign of its own: its largest entry is made positive.
        signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
        directions = (axes * signs * spreads[:, None] / (n - 1) ** 0.5)[:2]
        names = [f"{number} principal component (standard deviations)" for number in ("first", "second")]
        return cls(mean, directions, ((-2.5, 2.5), (-2.5, 2.5)), (names[0], names[1]))

    def points(self) -> Float[Tensor, "rows dim"]:
        """The latents of a grid of 10 x 10 points `[100, D]`, row by row from the upper left corner."""
        (left, right), (bottom, top) = self.limits
        a, b = torch.linspace(left, right, _SIDE), torch.linspace(top, bottom, _SIDE)
        return self.origin + torch.cartesian_prod(b, a).flip(1) @ self.directions

    def coordinates(self, latents: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows 2"]:
        """The coordinates `[N, 2]` of the feet of the perpendiculars from latents `[N, D]` to the plane."""
        squares = self.directions.square().sum(1).clamp_min(torch.finfo(torch.float32).tiny)
        return (latents - self.origin) @ self.directions.T / squares


def latent_plane(images: Tensor, plane: LatentPlane, title: str, path: str | Path) -> Path:
    """Plot the images that a decoder makes of the points of a plane, where the points are, as PNG.

    Args:
        images: `[100, C, H, W]`, decoded from `plane.points()`, in 0..1.
        plane: the plane.
        title: the title of the figure.
        path: the path of the PNG.

    Raises:
        ZooError: if there are not as many images as points.
    """
    if len(images) != _SIDE**2:
        raise ZooError(f"latent plane: expected {_SIDE**2} images, one per point, got {len(images)}")
    tiles = pixels(images).reshape(_SIDE, _SIDE, *images.shape[2:], 3)
    (left, right), (bottom, top) = plane.limits
    x, y = (right - left) / (_SIDE - 1) / 2, (top - bottom) / (_SIDE - 1) / 2  # half an image
    figure = new_figure(6.6, title)
    axes = figure.subplots()
    extent = left - x, right + x, bottom - y, top + y
    axes.imshow(mosaic(tiles, gap=0)[0], extent=extent, aspect="auto", interpolation="nearest")
    axes.set_xlabel(plane.axis_labels[0], fontsize=11)
    axes.set_ylabel(plane.axis_labels[1], fontsize=11)
    return write(figure, path, colours=GREYS if images.shape[1] == 1 else 256)


def latent_scatter(
    latents: Float[Tensor, "rows dim"], labels: Tensor | None, classes: Sequence[str], title: str, path: str | Path
) -> Path:
    """Plot latents `[N, D]`, D >= 2, as points of their plane (`LatentPlane.of`), coloured by class, as PNG.

    Args, Raises: as `feature_map` and `LatentPlane.of`.
    """
    plane = LatentPlane.of(latents)
    points = plane.coordinates(latents).numpy()
    return feature_map(points, labels, classes, title, path, axis_labels=plane.axis_labels)
