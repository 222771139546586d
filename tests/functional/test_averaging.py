"""The moving average: a sum computed by hand, lightly's, and the ends of its range."""

import pytest
import torch

from functional import averaging, schedules, tree

# --- golden ----------------------------------------------------------------------------------------------------


def test_ema_of_a_constant_approaches_it_geometrically():
    average = {"w": torch.zeros(2, dtype=torch.float64)}
    for _ in range(5):
        average = averaging.ema(average, {"w": torch.ones(2, dtype=torch.float64)}, momentum=0.9)
    torch.testing.assert_close(average["w"], torch.full((2,), 1 - 0.9**5, dtype=torch.float64))


# --- naive twin ------------------------------------------------------------------------------------------------


def test_ema_equals_lightly():
    from lightly.models.utils import update_momentum

    online, target = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    ours = averaging.ema(dict(target.named_parameters()), dict(online.named_parameters()), momentum=0.996)
    update_momentum(online, target, 0.996)
    torch.testing.assert_close(tree.detach(ours), tree.detach(dict(target.named_parameters())))


# --- property --------------------------------------------------------------------------------------------------


def test_the_ends_of_the_range_are_exact_and_integers_stay():
    average = {"w": torch.tensor([0.1, 1e8]), "count": torch.tensor(3)}
    params = {"w": torch.tensor([0.3, 1.0]), "count": torch.tensor(7)}
    kept = average["w"].clone()
    assert torch.equal(averaging.ema(average, params, momentum=1.0)["w"], average["w"])
    assert torch.equal(averaging.ema(average, params, momentum=0.0)["w"], params["w"])
    assert averaging.ema(average, params, momentum=0.5)["count"] == 3
    assert torch.equal(average["w"], kept)


def test_a_momentum_near_1_keeps_its_digits_and_the_average_its_dtype():
    average, params = {"w": torch.zeros(1)}, {"w": torch.ones(1, dtype=torch.bfloat16)}
    for momentum in (1 - 1e-6, torch.tensor(1 - 1e-6, dtype=torch.float64)):
        new = averaging.ema(average, params, momentum=momentum)["w"]
        torch.testing.assert_close(new, torch.tensor([1e-6]), rtol=1e-6, atol=0)  # in float32, 1 - (1 - 1e-6) is 9.5e-7


def test_a_scheduled_momentum_under_vmap_equals_the_loop():
    momentum, steps = schedules.cosine(0.9, 4, final=1.0), torch.arange(4)
    average, params = {"w": torch.arange(8.0).reshape(4, 2)}, {"w": torch.ones(4, 2)}

    def one(average, params, step):
        return averaging.ema(average, params, momentum=momentum(step))

    batched = torch.func.vmap(one)(average, params, steps)["w"]
    looped = [one({"w": average["w"][i]}, {"w": params["w"][i]}, i)["w"] for i in range(4)]
    torch.testing.assert_close(batched, torch.stack(looped))


def test_a_momentum_out_of_range_is_named():
    with pytest.raises(ValueError, match="momentum: expected a number in 0..1, got 1.5"):
        averaging.ema({}, {}, momentum=1.5)


def test_leaves_of_other_shapes_are_named():
    with pytest.raises(ValueError, match=r"got average \[2\], params \[3, 2\]; pass trees of the same network"):
        averaging.ema({"w": torch.zeros(2)}, {"w": torch.ones(3, 2)}, momentum=0.9)


# --- target networks -------------------------------------------------------------------------------------------


def test_a_target_that_follows_equals_the_update_after_each_step():
    """The papers' order: the optimizer moves theta, then the target follows with the momentum of that step."""
    momentum = schedules.cosine(0.5, 4, final=1.0)
    thetas = [{"w": torch.full((2,), float(k * k), dtype=torch.float64)} for k in range(5)]
    theirs = ours = {"w": torch.full((2,), 3.0, dtype=torch.float64)}
    for k in range(4):
        ours = averaging.follow(ours, thetas[k], momentum=momentum, step=torch.tensor(k))
        torch.testing.assert_close(ours, theirs)
        tau = 1 - (1 - 0.5) * (1 + torch.cos(torch.tensor(torch.pi * k / 4, dtype=torch.float64))) / 2
        theirs = {"w": tau * theirs["w"] + (1 - tau) * thetas[k + 1]["w"]}


def test_at_step_0_the_target_is_exactly_unchanged():
    target = {"w": torch.tensor([0.1, 1e8])}
    followed = averaging.follow(target, {"w": torch.ones(2)}, momentum=0.5, step=torch.tensor(0))
    assert torch.equal(followed["w"], target["w"])
