"""Figures of a run, of its features, of a probe on them, and of what a decoder makes of them: PNG files for a README.

losses.py            the loss curves of one or more runs
maps.py              features in two or three dimensions, coloured by class
predictions.py       the confusion matrix, and test images with their predictions
reconstructions.py   images beside what an autoencoder makes of them
latents.py           the plane of an autoencoder's latents: as images, and as points

They show data, and compute no more than its arrangement. Figures use matplotlib's object interface, never pyplot, so
that they affect no window or global state. Words are drawn as they are written, never as mathematics.
"""

from zoo.reports.figures.latents import LatentPlane as LatentPlane
from zoo.reports.figures.latents import latent_plane as latent_plane
from zoo.reports.figures.latents import latent_scatter as latent_scatter
from zoo.reports.figures.losses import loss_curve as loss_curve
from zoo.reports.figures.losses import loss_curves as loss_curves
from zoo.reports.figures.maps import feature_map as feature_map
from zoo.reports.figures.maps import tsne as tsne
from zoo.reports.figures.maps import umap as umap
from zoo.reports.figures.predictions import confusion_matrix as confusion_matrix
from zoo.reports.figures.predictions import predictions_grid as predictions_grid
from zoo.reports.figures.reconstructions import denoising_pairs as denoising_pairs
from zoo.reports.figures.reconstructions import reconstructions as reconstructions
