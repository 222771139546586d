"""Random views of images: every image has its own key, and one call transforms the whole batch.

An augmentation is `f(keys, images, *, hyperparameters) -> images`, with one key per image, `[B, 2]`, and images
`[B, C, H, W]`, floating point in 0..1, grey (C = 1) or colour (C = 3, RGB). The view of an image depends only on its
key and its pixels, not on the size or order of the batch: parameters bit for bit, pixels to 1e-6.

Drawing and applying are separate. `f(keys, images)` is `apply_f(images, sample_f(keys))`: a `sample_*` function, or
`random.uniform` or `random.bernoulli` if one number is drawn, returns the parameters of every image, and a function
without keys applies parameter i to image i. There is no loop over images: a choice is a `torch.where`, or a parameter
that changes nothing.

    >>> import torch
    >>> from functools import partial
    >>> from functional import random
    >>> views = compose(partial(random_resized_crop, size=16, flip=0.5), color_jitter, grayscale, gaussian_blur)
    >>> views(random.split(random.key(0), 4), torch.rand(4, 3, 32, 32)).shape
    torch.Size([4, 3, 16, 16])

Defaults are those of SimCLR for CIFAR-10 (colour strength 1/2). Where torchvision has the same operation, the same
parameters give the same pixels to 1e-5; the draws follow torchvision's distributions, but the numbers differ.

References:
    Chen, Kornblith, Norouzi, Hinton. A simple framework for contrastive learning of visual representations.
    arXiv:2002.05709, appendix A.
"""

from functional.augmentations.color import adjust_brightness as adjust_brightness
from functional.augmentations.color import adjust_contrast as adjust_contrast
from functional.augmentations.color import adjust_hue as adjust_hue
from functional.augmentations.color import adjust_saturation as adjust_saturation
from functional.augmentations.color import apply_color_jitter as apply_color_jitter
from functional.augmentations.color import color_jitter as color_jitter
from functional.augmentations.color import grayscale as grayscale
from functional.augmentations.color import luma as luma
from functional.augmentations.color import sample_color_jitter as sample_color_jitter
from functional.augmentations.filters import adjust_sharpness as adjust_sharpness
from functional.augmentations.filters import apply_blur as apply_blur
from functional.augmentations.filters import gaussian_blur as gaussian_blur
from functional.augmentations.filters import gaussian_noise as gaussian_noise
from functional.augmentations.filters import sample_blur as sample_blur
from functional.augmentations.geometry import affine as affine
from functional.augmentations.geometry import affine_matrices as affine_matrices
from functional.augmentations.geometry import apply_affine as apply_affine
from functional.augmentations.geometry import apply_elastic as apply_elastic
from functional.augmentations.geometry import apply_rotation as apply_rotation
from functional.augmentations.geometry import crop_resize as crop_resize
from functional.augmentations.geometry import cutout as cutout
from functional.augmentations.geometry import elastic as elastic
from functional.augmentations.geometry import erase as erase
from functional.augmentations.geometry import horizontal_flip as horizontal_flip
from functional.augmentations.geometry import random_resized_crop as random_resized_crop
from functional.augmentations.geometry import rotate as rotate
from functional.augmentations.geometry import sample_affine as sample_affine
from functional.augmentations.geometry import sample_crops as sample_crops
from functional.augmentations.geometry import sample_cutout as sample_cutout
from functional.augmentations.geometry import sample_elastic as sample_elastic
from functional.augmentations.geometry import vertical_flip as vertical_flip
from functional.augmentations.pipelines import compose as compose
from functional.augmentations.pipelines import draw_views as draw_views
from functional.augmentations.pipelines import normalize as normalize
from functional.augmentations.pipelines import per_view as per_view
from functional.augmentations.pipelines import random_apply as random_apply
from functional.augmentations.pipelines import to_float as to_float
from functional.augmentations.policies import apply_rand_augment as apply_rand_augment
from functional.augmentations.policies import rand_augment as rand_augment
from functional.augmentations.policies import sample_rand_augment as sample_rand_augment
from functional.augmentations.tones import apply_posterize as apply_posterize
from functional.augmentations.tones import apply_solarize as apply_solarize
from functional.augmentations.tones import autocontrast as autocontrast
from functional.augmentations.tones import equalize as equalize
from functional.augmentations.tones import posterize as posterize
from functional.augmentations.tones import solarize as solarize
