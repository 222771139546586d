"""The contract of every loss: one value per row, its dtype, its inputs; vmap, compile, and derivatives."""

import pytest
import torch

from functional import losses, random

LOSSES = {
    "nt_xent": lambda a, b, c: losses.nt_xent(a, b, temperature=0.5),
    "decoupled_contrastive": lambda a, b, c: losses.decoupled_contrastive(a, b, temperature=0.5),
    "info_nce": lambda a, b, c: losses.info_nce(a, b, c, temperature=0.5),
    "mocov3": lambda a, b, c: losses.mocov3(a, b, temperature=0.5),
    "supervised_contrastive": lambda a, b, c: losses.supervised_contrastive(
        a, torch.tensor([0, 1, 0, 2]), temperature=0.5
    ),
    "negative_cosine": lambda a, b, c: losses.negative_cosine(a, b),
    "triplet": lambda a, b, c: losses.triplet(a, b, c, margin=1.0),
    "pairwise_contrastive": lambda a, b, c: losses.pairwise_contrastive(a, b, torch.tensor([0, 1, 0, 1]), margin=3.0),
    "mean_squared_error": lambda a, b, c: losses.mean_squared_error(a, b),
    "binary_cross_entropy": lambda a, b, c: losses.binary_cross_entropy(a, b.abs().clamp(max=1)),
}


def rows(seed, dtype=torch.float32, lead=()):
    return random.normal(random.key(seed), (*lead, 4, 5)).to(dtype)


def test_every_loss_is_tested():
    assert {name for name in vars(losses) if callable(getattr(losses, name))} == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_values_per_row_in_at_least_float32_and_inputs_kept(name):
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        inputs = [rows(seed, dtype) for seed in range(3)]
        kept = [x.clone() for x in inputs]
        value = LOSSES[name](*inputs)
        assert value.shape in ((4,), (8,)) and value.isfinite().all()
        assert value.dtype == torch.promote_types(dtype, torch.float32)
        torch.testing.assert_close(value, LOSSES[name](*(x.double() for x in inputs)), check_dtype=False)
        assert all(torch.equal(x, before) for x, before in zip(inputs, kept, strict=True))


@pytest.mark.parametrize("name", LOSSES)
def test_vmap_equals_the_loop(name):
    inputs = [rows(seed, lead=(3,)) for seed in range(3)]
    looped = torch.stack([LOSSES[name](*(x[i] for x in inputs)) for i in range(3)])
    torch.testing.assert_close(torch.func.vmap(LOSSES[name])(*inputs), looped)


@pytest.mark.parametrize("name", LOSSES)
def test_it_compiles_in_one_graph(name):
    inputs = [rows(seed) for seed in range(3)]
    compiled = torch.compile(LOSSES[name], fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(*inputs), LOSSES[name](*inputs))


@pytest.mark.parametrize("name", LOSSES)
def test_derivatives_equal_finite_differences(name):
    inputs = [rows(seed, torch.float64).requires_grad_() for seed in range(3)]
    assert torch.autograd.gradcheck(LOSSES[name], inputs)
