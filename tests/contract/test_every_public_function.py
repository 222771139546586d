"""The contract of `functional.base`, for every public function of `functional`.

A function without a case below fails `test_every_public_function_has_a_case`: nothing is forgotten. Where a function
makes functions (a layer, an optimizer, a schedule, a method), the case calls what it makes.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

import functional
from functional import augmentations as aug
from functional import (
    averaging,
    clustering,
    encoders,
    heads,
    initializers,
    kernels,
    layers,
    losses,
    methods,
    metrics,
    neighbours,
    numerics,
    optimizers,
    probes,
    queues,
    random,
    schedules,
    selection,
    solvers,
    streams,
    training,
    tree,
)
from functional.base import Batch, Encoder, online

EXEMPT = {
    "kernels.compiled": "says how a program is being traced, and takes no tensors",
    "kernels.compile_once": "takes a function, not tensors",
    "kernels.mapped_first": "moves a dimension for vmap, and is tested where operators are mapped",
    "random.key": "takes a number, not a tensor",
    "checks": "return nothing",
    "numerics.check_features": "returns nothing",
    "augmentations.per_view": "takes functions, not tensors",
    "encoders.resnet18": "resnet8 with other sizes",
    "encoders.resnet34": "resnet8 with other sizes",
    "encoders.resnet50": "resnet8 with other sizes and blocks",
}


class Case(NamedTuple):
    """A function and arguments for it.

    call: (*arguments) -> a tree of tensors.
    arguments: seed -> trees of tensors, floating point in float32.
    draws: the first argument is a key, and another key gives another result.
    smooth: differentiable in its floating-point arguments, except those at the positions `constants`.
    half: the dtype of floating-point results from bfloat16; None if it does not accept half precision.
    maps: works under vmap.
    blind: works on tensors without values (torch's fake tensors): it reads no values and differentiates nothing.
    """

    call: Callable
    arguments: Callable
    draws: bool = False
    smooth: bool = True
    constants: tuple[int, ...] = ()
    half: torch.dtype | None = None
    maps: bool = True
    blind: bool = True


def normal(seed, *shape):
    return random.normal(random.key(seed), shape)


def images(seed, batch=3, channels=3, size=8):
    return random.uniform(random.key(seed), (batch, channels, size, size))


def pixels(seed, **sizes):
    return (255 * images(seed, **sizes)).byte()


def rows(count, batch=4, dim=3):
    """`count` matrices of rows."""
    return lambda seed: tuple(normal(10 * seed + i, batch, dim) for i in range(count))


def loss(function, count=2, **hyperparameters):
    return Case(partial(function, **hyperparameters), rows(count), half=torch.float32)


def labelled(function, count, **hyperparameters):
    case = loss(function, count, **hyperparameters)
    return case._replace(arguments=lambda seed: (*rows(count)(seed), LABELS))


def drawn(function, *shape):
    return Case(lambda key: function(key, *shape), lambda seed: (random.key(seed),), draws=True)


def keyed(function, *data):
    return Case(function, lambda seed: (random.key(seed), *data), draws=True)


def views(function, *, draws=True, half=torch.bfloat16, **hyperparameters):
    def arguments(seed):
        return random.split(random.key(seed), 3), images(seed)

    return Case(partial(function, **hyperparameters), arguments, draws=draws, half=half)


def adjusted(function, *parameters, smooth=True, **hyperparameters):
    """An augmentation that draws nothing: images and parameters per image."""

    def arguments(seed):
        return images(seed), *(parameter(seed) for parameter in parameters)

    return Case(partial(function, **hyperparameters), arguments, smooth=smooth, half=torch.bfloat16)


def factor(seed):
    return random.uniform(random.key(seed + 5), (3,), minval=0.5, maxval=1.5)


def boxes(seed):
    return aug.sample_crops(random.split(random.key(seed), 3), 8, 8)


def places(seed):
    return random.uniform(random.key(seed + 6), (3, 2, 4, 5), minval=-1.1, maxval=1.1)


def three_keys(device):
    return random.split(random.key(0, device=device), 3)


def sampled(function, *sizes, **hyperparameters):
    """The parameters that an augmentation draws."""

    def call(keys):
        return function(keys, *sizes, **hyperparameters)

    return Case(call, lambda seed: (random.split(random.key(seed), 8),), draws=True)


def network(name, network, *shape, init_draws=True, draws=False, **flags):
    """Two cases: the initial parameters, and the network in train mode."""

    def apply(key, params, batch_stats, inputs):
        return network.apply(params, batch_stats, inputs, train=True, key=key)

    @cache
    def arguments(seed):
        return random.key(seed), *network.init(random.key(seed)), normal(seed, *shape)

    cases = {
        f"{name} apply": Case(apply, arguments, draws=draws, constants=(2,), half=torch.bfloat16)._replace(**flags)
    }
    if init_draws:
        cases[f"{name} init"] = drawn(network.init)
    return cases


def moved(optimizer):
    """Two updates, so the second has a state."""

    def call(params, grads):
        opt_state = optimizer.init(params)
        for _ in range(2):
            params, opt_state = optimizer.update(grads, opt_state, params)
        return params, opt_state

    return Case(call, nested(2), smooth=False)


def masked(mask):
    return Case(lambda params: tree.map(torch.full_like, params, mask(params)), nested(1), smooth=False)


def nested(count):
    """`count` trees of parameters."""
    return lambda seed: tuple({"fc": {"weight": x, "bias": x[0]}} for x in rows(count)(seed))


def scheduled(schedule):
    return Case(schedule, lambda seed: (torch.tensor(seed),))


ENCODER = layers.serial(
    conv=layers.conv(3, 4, 3),
    bn=layers.batch_norm(4),
    tanh=layers.activation(torch.tanh),
    pool=layers.global_average_pool,
)
ENCODER = Encoder(*ENCODER, feature_dim=4)
FLIP = aug.horizontal_flip


def pretext(make, smooth=True, **hyperparameters):
    """A method on a small encoder: its `init`, and its loss, which is not smooth if it stops gradients."""
    method = make(ENCODER, **hyperparameters)

    def call(key, params, state, batch):
        return method.loss(params, state, key, batch)

    def arguments(seed):
        batch = Batch(images(seed, batch=4), torch.tensor([0, 1, 0, 1]), torch.arange(4), torch.tensor(seed))
        return random.key(seed), *method.init(random.key(seed)), batch

    return {
        f"methods.{make.__name__} loss": Case(call, arguments, draws=True, smooth=smooth, constants=(2,)),
        f"methods.{make.__name__} init": drawn(method.init),
    }


def small_decoder(latent_dim, *, out_channels):
    """To 8 x 8 pixels."""
    fold = layers.activation(lambda x: x.unflatten(1, (out_channels, 8, 8)))
    return layers.serial(
        linear=layers.linear(latent_dim, out_channels * 64), bn=layers.batch_norm(out_channels * 64), fold=fold
    )


METHOD = methods.simclr(ENCODER, views=FLIP, projector=(3,))
SGD = optimizers.sgd(0.1, momentum=0.9)


def queue_of(rows):
    """A full queue whose next place is the second."""
    return queues.empty(*rows.shape, device=rows.device)._replace(
        rows=rows, position=torch.ones((), dtype=torch.int64, device=rows.device)
    )


def one_training_step(key, images):
    batch = Batch(images, None, torch.arange(len(images)))
    return training.make_train_step(METHOD.loss, SGD)(training.init(METHOD, SGD, key), key, batch)


def squares(params, x):
    return (params["w"] * x).square().sum(), {"x": x}


READS = {"maps": False, "blind": False}  # reads values, or those of a module that stays on its device


def probe(function):
    """A case that reads values, with a solver inside."""
    return Case(function, rows(2), smooth=False, **READS)


def minimum_of_squares(centres):
    """The minima of 1 + |w - c|^2 / 2, by L-BFGS with a preconditioner three times too small."""

    def point(weights, centres):
        return solvers.Point(weights, 1 + (weights - centres).square().sum((1, 2)) / 2, weights - centres, centres)

    def along(point, direction):
        return lambda t: (((point.gradient + t[:, None, None] * direction) * direction).sum((1, 2)),)

    def arrive(old, change, found):
        return point(old.weights + change, old.kept)

    objective = solvers.Objective(along, arrive, precondition=lambda point: lambda v: v / 3)
    return solvers.lbfgs(objective, point(torch.zeros_like(centres), centres))


LABELS = torch.tensor([0, 1, 0, 1])
SCALE = layers.stateless(lambda key: {"scale": normal(0, 3)}, lambda params, x: x * params["scale"])
MODULE = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 4), torch.nn.BatchNorm2d(2), torch.nn.Flatten())

CASES = {
    # numbers
    "numerics.promote_half": loss(numerics.promote_half, 1),
    "numerics.l2_normalize": loss(numerics.l2_normalize, 1),
    # trees
    "tree.map": Case(partial(tree.map, torch.add), nested(2)),
    "tree.leaves": Case(tree.leaves, nested(1)),
    "tree.flatten": Case(tree.flatten, nested(1)),
    "tree.unflatten": Case(tree.unflatten, lambda seed: ({"a.b": normal(seed, 2), "a.c": normal(seed, 3)},)),
    "tree.unflatten_like": Case(tree.unflatten_like, lambda seed: ((normal(0, 2),), {"0": normal(seed, 2)})),
    "tree.norm": Case(tree.norm, nested(1), half=torch.float32),
    "tree.stack": Case(tree.stack, lambda seed: (list(nested(2)(seed)),)),
    "tree.detach": Case(tree.detach, nested(1), smooth=False),
    # keys and draws
    "random.split": drawn(random.split),
    "random.fold_in": drawn(random.fold_in, 7),
    "random.bits": drawn(random.bits, (3,)),
    "random.uniform": drawn(random.uniform, (3,)),
    "random.normal": drawn(random.normal, (3,)),
    "random.bernoulli": drawn(random.bernoulli, 0.5, (40,)),
    "random.randint": drawn(random.randint, (9,), 0, 100),
    "random.permutation": drawn(random.permutation, 9),
    "initializers.zeros": drawn(initializers.zeros, (3, 2))._replace(draws=False),
    "initializers.ones": drawn(initializers.ones, (3, 2))._replace(draws=False),
    "initializers.kaiming_normal": drawn(initializers.kaiming_normal, (3, 2)),
    "initializers.torch_uniform": drawn(initializers.torch_uniform, (3, 2)),
    # kernels
    "kernels.threefry2x32": Case(
        kernels.threefry2x32, lambda seed: (random.key(seed), torch.arange(3, dtype=torch.int32)), draws=True
    ),
    "kernels.inner_products": Case(kernels.inner_products, rows(2), half=torch.bfloat16),
    "kernels.conv2d": Case(
        partial(kernels.conv2d, stride=2),
        lambda seed: (normal(seed, 3, 2, 5, 5), normal(seed + 1, 4, 2, 1, 1), normal(seed + 2, 4)),
        half=torch.bfloat16,
    ),
    "kernels.widened": Case(
        kernels.widened(F.linear),
        lambda seed: (normal(seed, 3, 4), normal(seed + 1, 2, 4), normal(seed + 2, 2)),
        half=torch.bfloat16,
    ),
    "kernels.max_pool2d": adjusted(kernels.max_pool2d, kernel=2),
    "kernels.bilinear_sample": adjusted(kernels.bilinear_sample, places)._replace(half=None),
    "kernels.bytes_to_floats": Case(kernels.bytes_to_floats, lambda seed: (pixels(seed),)),
    "kernels.separable_blur": adjusted(kernels.separable_blur, factor, radius=2),
    "streams.view_keys": keyed(lambda key, index: streams.view_keys(key, index, 2), torch.arange(3)),
    "streams.image_keys": keyed(
        lambda key, index: streams.image_keys(key, streams.Stream.ENCODER, index, 2), torch.arange(3)
    ),
    "streams.batch_key": keyed(
        lambda key, step: streams.batch_key(key, streams.Stream.SHUFFLE, step), torch.tensor(3)
    ),
    # networks
    **network("layers.serial", layers.serial(fc=layers.linear(4, 3), gelu=layers.activation(torch.tanh)), 2, 4),
    **network("layers.split_batch", layers.split_batch(layers.batch_norm(3), 2), 4, 3, 2, 2, init_draws=False),
    **network("layers.cast", layers.cast(layers.linear(4, 3), None), 2, 4),
    **network("layers.stateless", SCALE, 2, 3, init_draws=False),
    **network("layers.activation", layers.activation(torch.tanh), 2, 4, init_draws=False),
    **network("layers.max_pool", layers.max_pool(2), 2, 3, 4, 4, init_draws=False),
    **network("layers.grid_average_pool", layers.grid_average_pool(2), 2, 3, 4, 4, init_draws=False),
    **network("layers.linear", layers.linear(4, 3), 2, 4),
    **network("layers.conv", layers.conv(3, 2, 3), 2, 3, 4, 4),
    **network("layers.conv_transpose", layers.conv_transpose(3, 2, 3), 2, 3, 4, 4),
    **network("layers.layer_norm", layers.layer_norm(4), 2, 4, init_draws=False),
    **network("layers.batch_norm", layers.batch_norm(3), 2, 3, 2, 2, init_draws=False),
    **network("layers.dropout", layers.dropout(0.5), 2, 9, init_draws=False, draws=True),
    **network("encoders.resnet8", encoders.resnet8(1, width=2), 2, 1, 8, 8),
    **network("encoders.s1a", encoders.s1a(size=4), 2, 1, 4, 4, init_draws=False),
    **network("encoders.s1b", encoders.s1b(size=8), 2, 1, 8, 8, init_draws=False),
    **network("encoders.s2", encoders.s2(size=4), 2, 3, 4, 4),
    **network("encoders.s3a", encoders.s3a(size=4), 2, 1, 4, 4),
    **network("encoders.s4", encoders.s4(size=8), 2, 1, 8, 8),
    **network("encoders.s5", encoders.s5(), 2, 1, 28, 28),
    **network("encoders.latent_cnn", encoders.latent_cnn(width=4, hidden=8, size=8), 2, 1, 8, 8),
    **network("encoders.from_module", encoders.from_module(MODULE), 2, 1, 4, 4, init_draws=False, **READS),
    **network("heads.projection_mlp", heads.projection_mlp(4, (3, 2), batch_norm=True), 5, 4),
    **network("heads.prediction_mlp", heads.prediction_mlp(4, 3, 2), 5, 4),
    **network("heads.s5_decoder", heads.s5_decoder(), 2, 4),
    **network("heads.fourier_decoder", heads.fourier_decoder(size=4, frequencies=3, hidden=5), 3, 4),
    # augmentations
    "augmentations.to_float": Case(aug.to_float, lambda seed: (pixels(seed),)),
    "augmentations.compose": views(aug.compose(FLIP, FLIP)),
    "augmentations.random_apply": views(aug.random_apply(FLIP, p=0.5)),
    "augmentations.draw_views": Case(
        lambda key, x, index: aug.draw_views(FLIP, key, Batch(x, None, index)),
        lambda seed: (random.key(seed), images(seed, batch=8), torch.arange(8)),
        draws=True,
    ),
    "augmentations.normalize": views(aug.normalize, draws=False, mean=0.5, std=(0.1, 0.2, 0.3)),
    "augmentations.random_resized_crop": views(aug.random_resized_crop, size=6, scale=(0.2, 1.0), flip=0.5),
    "augmentations.sample_crops": sampled(aug.sample_crops, 8, 8, scale=(0.2, 1.0)),
    "augmentations.crop_resize": adjusted(aug.crop_resize, boxes, size=6),
    "augmentations.crop_resize magnified": adjusted(aug.crop_resize, boxes, size=9),
    "augmentations.horizontal_flip": views(FLIP),
    "augmentations.vertical_flip": views(aug.vertical_flip),
    "augmentations.rotate": views(aug.rotate, degrees=20.0),
    "augmentations.apply_rotation": adjusted(aug.apply_rotation, factor),
    "augmentations.affine": views(aug.affine, degrees=20.0, translate=(0.1, 0.1), scale=(0.8, 1.2), shear=(5.0, 5.0)),
    "augmentations.sample_affine": sampled(aug.sample_affine, 8, 8, degrees=20.0),
    "augmentations.affine_matrices": Case(
        lambda angle, translate, shear: aug.affine_matrices(angle, translate, angle.cosh(), shear),
        lambda seed: (normal(seed, 3), normal(seed + 1, 3, 2), normal(seed + 2, 3, 2)),
    ),
    "augmentations.apply_affine": adjusted(aug.apply_affine, lambda seed: normal(seed, 3, 2, 3)),
    "augmentations.elastic": views(aug.elastic, std=1.0),
    "augmentations.sample_elastic": sampled(aug.sample_elastic, std=1.0),
    "augmentations.apply_elastic": adjusted(aug.apply_elastic, lambda seed: normal(seed, 3, 2, 3, 3)),
    "augmentations.cutout": views(aug.cutout, size=4),
    "augmentations.sample_cutout": sampled(aug.sample_cutout, 8, 8, size=4),
    "augmentations.erase": adjusted(aug.erase, boxes),
    "augmentations.color_jitter": views(aug.color_jitter),
    "augmentations.sample_color_jitter": sampled(aug.sample_color_jitter),
    "augmentations.apply_color_jitter": adjusted(
        lambda x: aug.apply_color_jitter(x, *aug.sample_color_jitter(three_keys(x.device)))
    ),
    "augmentations.adjust_brightness": adjusted(aug.adjust_brightness, factor),
    "augmentations.adjust_contrast": adjusted(aug.adjust_contrast, factor),
    "augmentations.adjust_saturation": adjusted(aug.adjust_saturation, factor),
    "augmentations.adjust_hue": adjusted(aug.adjust_hue, factor),
    "augmentations.adjust_sharpness": adjusted(aug.adjust_sharpness, factor),
    "augmentations.grayscale": views(aug.grayscale, p=0.5),
    "augmentations.luma": adjusted(aug.luma),
    "augmentations.gaussian_blur": views(aug.gaussian_blur),
    "augmentations.sample_blur": sampled(aug.sample_blur),
    "augmentations.apply_blur": adjusted(aug.apply_blur, factor, kernel_size=3),
    "augmentations.gaussian_noise": views(aug.gaussian_noise, std=0.1),
    "augmentations.solarize": views(aug.solarize, p=0.5),
    "augmentations.apply_solarize": adjusted(aug.apply_solarize),
    "augmentations.posterize": views(aug.posterize, bits=2)._replace(smooth=False),
    "augmentations.apply_posterize": adjusted(aug.apply_posterize, bits=2, smooth=False),
    "augmentations.autocontrast": adjusted(aug.autocontrast),
    "augmentations.equalize": adjusted(aug.equalize, smooth=False),
    "augmentations.rand_augment": views(aug.rand_augment)._replace(smooth=False),
    "augmentations.sample_rand_augment": sampled(aug.sample_rand_augment),
    "augmentations.apply_rand_augment": adjusted(
        lambda x: aug.apply_rand_augment(x, *aug.sample_rand_augment(three_keys(x.device))), smooth=False
    ),
    # losses and metrics
    "losses.nt_xent": loss(losses.nt_xent, temperature=0.5),
    "losses.decoupled_contrastive": loss(losses.decoupled_contrastive, temperature=0.5),
    "losses.info_nce": loss(losses.info_nce, 3, temperature=0.5),
    "losses.mocov3": loss(losses.mocov3, temperature=0.5),
    "losses.supervised_contrastive": labelled(losses.supervised_contrastive, 1, temperature=0.5),
    "losses.negative_cosine": loss(losses.negative_cosine),
    "losses.pairwise_contrastive": labelled(losses.pairwise_contrastive, 2, margin=1.0),
    "losses.triplet": loss(losses.triplet, 3, margin=1.0),
    "losses.mean_squared_error": loss(losses.mean_squared_error),
    "losses.binary_cross_entropy": loss(lambda a, b: losses.binary_cross_entropy(a, b.sigmoid())),
    **{
        f"metrics.{function.__name__}": Case(
            partial(function, **hyperparameters), lambda seed: (random.randint(random.key(seed), (4,), 0, 2), LABELS)
        )
        for function, hyperparameters in (
            (metrics.accuracy, {}),
            (metrics.confusion_matrix, {"classes": 2}),
            (metrics.class_scores, {"classes": 2}),
            (metrics.macro_f1, {"classes": 2}),
        )
    },
    "metrics.alignment": loss(metrics.alignment),
    "metrics.uniformity": loss(metrics.uniformity, 1),
    "metrics.feature_std": loss(metrics.feature_std, 1),
    "metrics.effective_rank": loss(metrics.effective_rank, 1),
    # training
    "schedules.constant": scheduled(schedules.constant(0.1)),
    "schedules.linear": scheduled(schedules.linear(0.1, 0.2, 5)),
    "schedules.cosine": scheduled(schedules.cosine(0.1, 5)),
    "schedules.warmup_cosine": scheduled(schedules.warmup_cosine(0.1, warmup_steps=2, steps=5)),
    "schedules.at": scheduled(partial(schedules.at, schedules.linear(0.1, 0.2, 5))),
    "schedules.shift": scheduled(schedules.shift(schedules.linear(0.1, 0.2, 5), 1)),
    "schedules.step": scheduled(schedules.step(0.1, boundaries=(1,), factor=0.5)),
    "optimizers.include_all": masked(optimizers.include_all),
    "optimizers.exclude_bias_and_norm": masked(optimizers.exclude_bias_and_norm),
    "optimizers.sgd": moved(SGD),
    "optimizers.adam": moved(optimizers.adam(0.1)),
    "optimizers.adamw": moved(optimizers.adamw(0.1)),
    "optimizers.lars": moved(optimizers.lars(0.1)),
    "optimizers.clip_by_global_norm": moved(optimizers.clip_by_global_norm(SGD, 0.1)),
    "optimizers.clip_by_norm": moved(optimizers.clip_by_norm(SGD, 0.1)),
    "optimizers.grouped": moved(optimizers.grouped(("*.bias", SGD), ("*", optimizers.adam(0.1)))),
    "optimizers.freeze": moved(optimizers.freeze(SGD, 1)),
    "optimizers.project": moved(optimizers.project(SGD, partial(tree.map, torch.relu))),
    "averaging.follow": Case(
        lambda target, params, step: averaging.follow(target, params, momentum=0.9, step=step),
        lambda seed: (*nested(2)(seed), torch.tensor(1 + seed)),
        half=torch.bfloat16,
    ),
    "queues.empty": drawn(lambda key: queues.empty(3, 2, device=key.device))._replace(draws=False),
    "queues.random_rows": drawn(queues.random_rows, 4, 2),
    "queues.enqueue": Case(lambda x, y: queues.enqueue(queue_of(x), y), rows(2)),
    "queues.newest_first": Case(lambda x: queues.newest_first(queue_of(x)), rows(1)),
    "base.online": Case(online, lambda seed: ({"encoder": {"w": normal(seed, 2)}}, METHOD.init(random.key(seed))[1])),
    "averaging.ema": Case(partial(averaging.ema, momentum=0.9), nested(2), half=torch.bfloat16),
    **pretext(methods.simclr, views=FLIP, projector=(3,)),
    **pretext(methods.byol, smooth=False, views=FLIP, projector=(3, 3), predictor=3, momentum=0.9),
    **pretext(methods.moco, smooth=False, views=FLIP, projector=(3, 3), queue_size=6, groups=2, momentum=0.9),
    **pretext(methods.moco_v3, smooth=False, views=FLIP, projector=(3, 3), predictor=3, momentum=0.9),
    **pretext(methods.simsiam, smooth=False, views=FLIP, projector=(3, 3), predictor=3),
    **pretext(methods.rotation, views=FLIP, head=(3,)),
    **pretext(methods.autoencoder, views=FLIP, decoder=small_decoder, channels=3),
    **pretext(methods.denoising_autoencoder, views=FLIP, decoder=small_decoder, channels=3),
    **pretext(methods.supervised, views=FLIP, classes=2),
    **pretext(methods.pairwise_contrastive, views=FLIP, projector=(3,)),
    **pretext(methods.triplet, views=FLIP, margin=1.0, projector=(3,)),
    "training.init": drawn(lambda key: training.init(METHOD, SGD, key)),
    "training.make_train_step": Case(
        one_training_step, lambda seed: (random.key(seed), pixels(seed, batch=8)), draws=True, blind=False
    ),
    "training.value_and_grad": Case(
        training.value_and_grad(squares), lambda seed: ({"w": normal(seed, 3)}, normal(seed + 1, 3)), blind=False
    ),
    # solvers and probes
    "solvers.lbfgs": Case(minimum_of_squares, lambda seed: (normal(seed, 2, 3, 4),), smooth=False, **READS),
    "solvers.line_search": Case(
        lambda centre: solvers.line_search(lambda t: (t - centre,), -centre, torch.ones_like(centre)),
        lambda seed: (normal(seed, 4).exp(),), smooth=False, **READS,
    ),
    "solvers.levenberg_marquardt": Case(
        lambda start, targets: solvers.levenberg_marquardt(lambda x: torch.cat([x, x.sin()], 1), start, targets),
        lambda seed: (normal(seed, 3, 2), normal(seed + 1, 3, 4)), blind=False,
    ),
    "solvers.logistic_regression": probe(
        lambda x, _: solvers.logistic_regression(x, LABELS, strengths=torch.tensor([0.1, 1.0], dtype=torch.float64))
    ),
    "probes.standardize": Case(probes.standardize, rows(2), half=torch.float32),
    "probes.standardizer": Case(probes.standardizer, rows(1), half=torch.float32),
    "probes.logistic": probe(lambda x, _: probes.logistic(x, LABELS, strengths=(0.1, 1.0))),
    "probes.ridge": probe(lambda x, _: probes.ridge(x, LABELS, strengths=(0.1, 1.0))),
    "probes.ridge_regression": probe(lambda x, t: probes.ridge_regression(x, t, strengths=(0.1, 1.0))),
    "probes.knn": probe(lambda x, test_x: probes.knn(x, LABELS, test_x, k=2)),
    "probes.spread": probe(lambda x, _: probes.spread(neighbours.neighbour_graph(x, k=2), LABELS[:2] + 1, LABELS[:2])),
    # neighbours, clusters and selection
    "neighbours.principal_axes": probe(lambda x, _: neighbours.principal_axes(x, 2)),
    "neighbours.directions": probe(lambda x, _: neighbours.directions(x, 2)),
    "neighbours.nearest": probe(lambda x, rows: neighbours.nearest(x, rows, k=2)),
    "neighbours.neighbour_graph": probe(lambda x, _: neighbours.neighbour_graph(x, k=2)),
    "neighbours.approximately_nearest": probe(lambda x, _: neighbours.approximately_nearest(x, k=2, searched=1)),
    "clustering.lloyd": probe(lambda x, _: clustering.lloyd(random.key(0), x, 2)),
    "selection.k_means": probe(lambda x, _: selection.k_means(x, 2, key=random.key(0))),
    "selection.typical": probe(lambda x, _: selection.typical(x, 2, key=random.key(0))),
    "selection.k_center": Case(
        lambda key, x: selection.k_center(x, 2, key=key),
        lambda seed: (random.key(seed), normal(seed, 40, 3)), draws=True, smooth=False, **READS,
    ),
}  # fmt: skip


def public_functions():
    """The functions that a module of `functional` defines under a name without underscore, as `losses.nt_xent`."""
    for module in pkgutil.walk_packages(functional.__path__, "functional."):
        _, part, *rest = module.name.split(".")
        if not any(name.startswith("_") for name in rest):
            for name, function in vars(importlib.import_module(module.name)).items():
                if inspect.isfunction(function) and function.__module__ == module.name and not name.startswith("_"):
                    yield f"{part}.{name}", function


def test_every_public_function_has_a_case():
    exist = {name for name, _ in public_functions() if not {name, name.split(".")[0]} & EXEMPT.keys()}
    covered = {name.split()[0] for name in CASES}
    assert exist - covered == set(), "without a case in this file"
    assert covered - exist == set(), "gone, or exempt"


def test_every_public_function_has_an_example_that_make_check_runs():
    assert [name for name, function in public_functions() if ">>>" not in (function.__doc__ or "")] == []


def floating(trees):
    return [x for x in tree.leaves(trees) if x.is_floating_point()]


def with_floating(trees, new):
    new = iter(new)
    return tree.map(lambda x: next(new) if x.is_floating_point() else x, trees)


def to(dtype, trees):
    return with_floating(trees, [x.to(dtype) for x in floating(trees)])


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True))


def each(condition):
    return pytest.mark.parametrize("case", [pytest.param(c, id=name) for name, c in CASES.items() if condition(c)])


@each(lambda case: True)
def test_arguments_stay_and_the_same_arguments_give_the_same_result(case):
    arguments = case.arguments(0)
    kept = tree.map(torch.clone, arguments)
    first = tree.map(torch.clone, case.call(*arguments))
    assert equal(first, case.call(*arguments))
    assert equal(arguments, kept)


@pytest.fixture
def float64_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_default_dtype_changes_nothing(case, request):
    arguments = case.arguments(0)
    expected = case.call(*arguments)
    request.getfixturevalue("float64_by_default")
    found = case.call(*arguments)
    assert [x.dtype for x in tree.leaves(found)] == [x.dtype for x in tree.leaves(expected)]
    assert equal(found, expected)


@each(lambda case: case.draws)
def test_another_key_gives_another_result(case):
    key, *data = case.arguments(0)
    assert not equal(case.call(key, *data), case.call(random.fold_in(key, 1), *data))


@each(lambda case: case.maps)
def test_vmap_equals_the_loop(case):
    many = [to(torch.float64, case.arguments(seed)) for seed in range(2)]
    looped = tree.stack([case.call(*arguments) for arguments in many])
    torch.testing.assert_close(torch.func.vmap(case.call)(*tree.stack(many)), looped, rtol=1e-6, atol=1e-6)


@each(lambda case: case.smooth and floating(case.arguments(0)))
def test_the_gradient_equals_finite_differences(case):
    """Along one direction, for one weighted sum of the results: two calls, where gradcheck makes one per element."""
    arguments = to(torch.float64, case.arguments(0))
    inputs = [
        x.requires_grad_() for i, trees in enumerate(arguments) if i not in case.constants for x in floating(trees)
    ]
    direction = [normal(7, *x.shape).double() for x in inputs]

    def value(distance):
        moved = (x + distance * d for x, d in zip(inputs, direction, strict=True))
        result = floating(case.call(*tree.map(lambda x: next(moved) if x.requires_grad else x, arguments)))
        return sum(((1 + normal(8, *x.shape)) * x).sum() for x in result if x.requires_grad)

    gradient = torch.autograd.grad(value(0), inputs, materialize_grads=True)
    slope = sum((g * d).sum() for g, d in zip(gradient, direction, strict=True))
    torch.testing.assert_close(slope, (value(1e-7) - value(-1e-7)) / 2e-7, rtol=1e-5, atol=1e-5)


@each(lambda case: floating(case.arguments(0)))
def test_float64_stays_and_half_precision_is_raised_or_stays(case):
    for dtype, expected in ((torch.float64, torch.float64), (torch.bfloat16, case.half)):
        if expected is not None:
            result = case.call(*to(dtype, case.arguments(0)))
            assert {x.dtype for x in floating(result)} <= {expected}


@pytest.mark.skipif(not torch.backends.cuda.is_built(), reason="this build of torch has no GPU, not even a fake one")
@each(lambda case: case.blind)
def test_all_happens_on_the_device_of_the_arguments(case):
    """Needs no GPU: the tensors have a shape and a device but no values, and refuse to be mixed with other devices."""
    arguments = case.arguments(0)
    with FakeTensorMode():
        result = case.call(*tree.map(lambda x: torch.empty(x.shape, dtype=x.dtype, device="cuda"), arguments))
    assert {x.device.type for x in tree.leaves(result)} == {"cuda"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        name
        for name in CASES
        if name == "augmentations.random_resized_crop" or "s3a apply" in name or name.endswith(" loss")
    ],
)
def test_one_compiled_graph_equals_the_function(name):
    case = CASES[name]
    torch.compiler.reset()  # all methods share the code of `pretext`'s call, which is compiled 8 times at most
    compiled = torch.compile(case.call, backend="eager", fullgraph=True)
    for seed in range(2):
        torch.testing.assert_close(compiled(*case.arguments(seed)), case.call(*case.arguments(seed)))
