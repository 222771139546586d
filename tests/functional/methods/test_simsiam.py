"""SimSiam: one whole step against lightly's loss and heads."""

import pytest
import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead
from twins import ENCODER, KEY, assert_same, double, draw_batch, encoder_twin, load, noisy, statistics, view_pair

from functional import methods, random, tree

METHOD = methods.simsiam(ENCODER, views=noisy, projector=(7, 7, 5), predictor=3)


def by_position(module, params):
    """One of lightly's heads with our weights, which are in the same order; and its gradients by our names."""
    flat = tree.flatten(params)
    for theirs, ours in zip(module.double().parameters(), flat.values(), strict=True):
        theirs.data = ours.clone()
    return module, lambda: dict(zip(flat, (p.grad for p in module.parameters()), strict=True))


def test_a_whole_step_equals_lightlys():
    params, state = double(METHOD.init(random.key(0)))
    batch = draw_batch()
    grads, (value, (new_state, info)) = torch.func.grad_and_value(METHOD.loss, has_aux=True)(params, state, KEY, batch)

    encoder = load(encoder_twin(), params["encoder"], state.batch_stats)
    projector, projector_gradients = by_position(SimSiamProjectionHead(6, 7, 5), params["projector"])
    predictor, predictor_gradients = by_position(SimSiamPredictionHead(5, 3, 5), params["predictor"])
    z_1, z_2 = (projector(encoder(x)) for x in view_pair(batch))
    p_1, p_2 = predictor(z_1), predictor(z_2)
    lightlys = NegativeCosineSimilarity()
    expected = (lightlys(p_1, z_2.detach()) + lightlys(p_2, z_1.detach())) / 2
    expected.backward()

    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=0)
    assert_same(grads["encoder"], {name: p.grad for name, p in encoder.named_parameters()})
    assert_same(grads["projector"], projector_gradients())
    assert_same(grads["predictor"], predictor_gradients())
    assert_same(new_state.batch_stats, statistics(encoder))
    torch.testing.assert_close(info["target_cosine"], -expected.detach())
    unit = torch.nn.functional.normalize(z_1.detach())
    torch.testing.assert_close(info["projection_std"], 5**0.5 * unit.std(0, correction=0).mean())


def test_the_papers_heads_are_the_default():
    params, _ = methods.simsiam(ENCODER, views=noisy).init(random.key(0))
    shapes = {
        name: tuple(x.shape) for name, x in tree.flatten({k: params[k] for k in ("projector", "predictor")}).items()
    }
    assert shapes == {
        "projector.linear1.weight": (2048, 6),
        **{f"projector.linear{i}.weight": (2048, 2048) for i in (2, 3)},
        **{f"projector.bn{i}.{name}": (2048,) for i in (1, 2) for name in ("weight", "bias")},
        "predictor.linear1.weight": (512, 2048),
        **{f"predictor.bn1.{name}": (512,) for name in ("weight", "bias")},
        "predictor.linear2.weight": (2048, 512),
        "predictor.linear2.bias": (2048,),
    }


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="projector: expected one width or more, got none"):
        methods.simsiam(ENCODER, views=noisy, projector=())
    with pytest.raises(ValueError, match="views: expected one augmentation, or one for each of 2"):
        methods.simsiam(ENCODER, views=(noisy,))
