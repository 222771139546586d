"""SwAV: all crops predict the codes of two large ones; codes use all prototypes equally (arXiv:2006.09882)."""

from typing import NamedTuple

import torch

from functional import augmentations, base, heads, layers, numerics, queues, random, streams, tree


class State(NamedTuple):
    batch_stats: base.BatchStats
    queues: tuple[queues.Queue, ...]


def sinkhorn(scores):  # codes [B, K] near exp(scores / .05): columns of equal sums, then rows of sum 1, three times
    codes = torch.exp(scores / 0.05)
    for dim in 3 * (0, 1):
        codes = codes / codes.sum(dim, keepdim=True)
    return codes


def swapped(z, rings, w):  # the mean over crops i with a queue, and v != i, of -code_i . log softmax(w z_v / .1)
    log_p, terms = torch.log_softmax(z @ w.T / 0.1, -1), []
    for i, ring in enumerate(rings):
        own, old = ((rows @ w.T).detach() for rows in (z[i], ring.rows))
        codes = torch.where(ring.filled == len(old), sinkhorn(torch.cat([own, old]))[: len(own)], sinkhorn(own))
        terms += [-(codes * log_p[v]).sum(1).mean() for v in range(len(z)) if v != i]
    return torch.stack(terms).mean()


def project(params):  # prototypes of norm 1; those that have it stay as they are, to the bit
    norm = params["prototypes"]["weight"].norm(dim=1, keepdim=True)
    return {**params, "prototypes": {"weight": params["prototypes"]["weight"] / norm.where((norm - 1).abs() > 1e-6, 1)}}


def swav(encoder, *, views, dim=16, prototypes=24, queue_size=16):
    mlp = heads.projection_mlp(encoder.feature_dim, (dim, dim), batch_norm=True)
    projector = layers.serial(mlp=mlp, unit=layers.activation(numerics.l2_normalize))
    nets = {"encoder": encoder, "projector": projector, "prototypes": layers.linear(dim, prototypes, bias=False)}

    def init(key, /):
        started = {name: net.init(k) for (name, net), k in zip(nets.items(), random.split(key, 3), strict=True)}
        rings = tuple(queues.empty(queue_size, dim, device=key.device) for _ in range(2))
        return {name: own for name, (own, _) in started.items()}, State(started["encoder"][1], rings)

    def loss(params, state, key, batch, /):
        crops, stats, h = augmentations.draw_views(views, key, batch), state.batch_stats, []
        k = streams.image_keys(key, streams.Stream.ENCODER, batch.index, len(crops))
        for g in (slice(2), slice(2, None)):  # one batch per size, and all crops together through the head
            f, stats = encoder.apply(params["encoder"], stats, torch.cat(crops[g]), train=True, key=k[g].flatten(0, 1))
            h.append(f)
        z = projector.apply(params["projector"], {}, torch.cat(h), train=True)[0].unflatten(0, (len(crops), -1))
        rings = tuple(queues.enqueue(ring, rows) for ring, rows in zip(state.queues, z.detach()[:2], strict=True))
        return swapped(z, state.queues, params["prototypes"]["weight"]), tree.detach((State(stats, rings), {}))

    return base.Method(init, loss, project=project)
