"""DINO: the student's small and large crops predict a slow teacher's output for the large ones (arXiv:2104.14294)."""

from typing import NamedTuple

import torch

from functional import augmentations, averaging, base, layers, numerics, random, schedules, tree
from functional.streams import Stream, image_keys


class State(NamedTuple):
    batch_stats: base.BatchStats
    teacher: base.Params
    teacher_stats: base.BatchStats
    centre: torch.Tensor


def cross_entropy(g, s, centre, temperature):
    """The mean over t != v of the cross-entropy of teacher crop t and student crop v, from logits `[V, B, K]`."""
    p, log_q = torch.softmax((g - centre) / temperature, -1), torch.log_softmax(s / 0.1, -1)
    return -torch.stack([(p[t] * log_q[v]).sum(1) for t in range(len(g)) for v in range(len(s)) if t != v]).mean()


def dino(encoder, *, views, temperature, momentum, dim=16, prototypes=24):
    fc, gelu = layers.linear(dim, dim), layers.activation(torch.nn.functional.gelu)
    unit, plain = numerics.l2_normalize, layers.linear(dim, prototypes, bias=False)
    last = layers.stateless(lambda key: plain.init(key)[0], lambda own, z: unit(z) @ unit(own["weight"]).T)
    head = layers.serial(fc1=layers.linear(encoder.feature_dim, dim), gelu1=gelu, fc2=fc, gelu2=gelu, fc3=fc, last=last)

    def init(key, /):
        encoder_params, stats = encoder.init(random.fold_in(key, 0))
        weights = tree.map(lambda p: p * (p.ndim > 1), head.init(random.fold_in(key, 1))[0])  # biases start at 0
        params = {"encoder": encoder_params, "head": weights}
        return params, State(stats, *tree.map(torch.clone, (params, stats)), torch.zeros(prototypes, device=key.device))

    def logits(params, stats, crops, keys):
        h = []
        for v in range(0, len(crops), 2):  # both crops of a size at once
            x, own = torch.cat(crops[v : v + 2]), keys[v : v + 2].flatten(0, 1)
            features, stats = encoder.apply(params["encoder"], stats, x, train=True, key=own)
            h.append(features)
        return head.apply(params["head"], {}, torch.cat(h), train=True)[0].unflatten(0, (len(crops), -1)), stats

    def loss(params, state, key, batch, /):
        crops = augmentations.draw_views(views, key, batch)  # the first two are large
        teacher = averaging.follow(state.teacher, tree.detach(params), momentum=momentum, step=batch.step)
        g, slow_stats = logits(teacher, state.teacher_stats, crops[:2], image_keys(key, Stream.TARGET, batch.index, 2))
        s, stats = logits(params, state.batch_stats, crops, image_keys(key, Stream.ENCODER, batch.index, len(crops)))
        value = cross_entropy(g, s, state.centre, schedules.at(temperature, batch.step))
        new_state = State(stats, teacher, slow_stats, torch.lerp(state.centre, g.mean((0, 1)), 0.1))
        return value, tree.detach((new_state, {"teacher_std": g.std(1).mean()}))

    return base.Method(init, loss, encoder=lambda params, state: (state.teacher["encoder"], state.teacher_stats))
