"""Encoders: networks from images to features, as `(init, apply, feature_dim)`."""

from functional.encoders.latent_cnn import latent_cnn as latent_cnn
from functional.encoders.module import from_module as from_module
from functional.encoders.resnet import resnet8 as resnet8
from functional.encoders.resnet import resnet18 as resnet18
from functional.encoders.resnet import resnet34 as resnet34
from functional.encoders.resnet import resnet50 as resnet50
from functional.encoders.small_cnn import s1a as s1a
from functional.encoders.small_cnn import s1b as s1b
from functional.encoders.small_cnn import s2 as s2
from functional.encoders.small_cnn import s3a as s3a
from functional.encoders.small_cnn import s4 as s4
from functional.encoders.small_cnn import s5 as s5
