"""Methods: one file each, with its `State` and `(init, loss)`, all with the same layout. This list is the catalogue.

    simclr                 two views agree, and differ from the other images of the batch      Chen et al. 2020
    byol                   predict the output of a slow copy of the network for the other view Grill et al. 2020
    moco                   find the other view among thousands of earlier images               Chen et al. 2020 (v2)
    moco_v3                predict the slow copy's output, among those of the batch            Chen, Xie, He 2021
    simsiam                predict the other view, with neither negatives nor a slow copy      Chen, He 2021
    rotation               recognise by how many quarter turns an image was rotated            Gidaris et al. 2018
    autoencoder            reconstruct the image from its features                             Hinton et al. 2006
    denoising_autoencoder  reconstruct the clean image from a noisy one                        Vincent et al. 2008
    supervised             a linear classifier on labels: the baseline                         He et al. 2015
    triplet                closer to an image of the same class than to one of another         Hoffer, Ailon 2014
    pairwise_contrastive   one class comes close, two stay a margin apart                      Hadsell et al. 2006

`zoo` identifies a method by the name of its function here.
"""

from functional.methods.autoencoder import autoencoder as autoencoder
from functional.methods.byol import byol as byol
from functional.methods.denoising_autoencoder import denoising_autoencoder as denoising_autoencoder
from functional.methods.moco import moco as moco
from functional.methods.moco_v3 import moco_v3 as moco_v3
from functional.methods.pairwise_contrastive import pairwise_contrastive as pairwise_contrastive
from functional.methods.rotation import rotation as rotation
from functional.methods.simclr import simclr as simclr
from functional.methods.simsiam import simsiam as simsiam
from functional.methods.supervised import supervised as supervised
from functional.methods.triplet import triplet as triplet
