"""Schedules: those of torch.optim.lr_scheduler, and the formulas step by step."""

import math

import pytest
import torch

from functional import schedules

STEPS = 30

# --- golden: torch's schedulers --------------------------------------------------------------------------------


def torch_values(scheduler, **kwargs):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    scheduler = getattr(torch.optim.lr_scheduler, scheduler)(optimizer, **kwargs)
    values = []
    for _ in range(STEPS):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return torch.tensor(values, dtype=torch.float64)


def test_schedules_equal_those_of_torch():
    k = torch.arange(STEPS)
    torch.testing.assert_close(
        schedules.cosine(0.2, STEPS, final=0.01)(k), torch_values("CosineAnnealingLR", T_max=STEPS, eta_min=0.01)
    )
    torch.testing.assert_close(
        schedules.linear(0.05, 0.2, 8)(k), torch_values("LinearLR", start_factor=0.25, total_iters=8)
    )
    torch.testing.assert_close(
        schedules.step(0.2, boundaries=(5, 20), factor=0.1)(k),
        torch_values("MultiStepLR", milestones=[5, 20], gamma=0.1),
    )
    assert schedules.constant(0.2)(k).tolist() == [0.2] * STEPS


# --- naive twin ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warmup_steps", [0, 1, 4])
def test_warmup_cosine_equals_its_twin(warmup_steps):
    def twin(k):
        if k < warmup_steps:
            return 0.3 * k / warmup_steps
        progress = min(1.0, (k - warmup_steps) / (20 - warmup_steps))
        return 0.1 + 0.2 * (1 + math.cos(math.pi * progress)) / 2

    ours = schedules.warmup_cosine(0.3, warmup_steps=warmup_steps, steps=20, final=0.1)(torch.arange(STEPS))
    torch.testing.assert_close(ours, torch.tensor([twin(k) for k in range(STEPS)], dtype=torch.float64))


def test_cosine_to_1_is_the_momentum_of_byol():
    tau = [1 - (1 - 0.996) * (math.cos(math.pi * k / STEPS) + 1) / 2 for k in range(STEPS)]  # arXiv:2006.07733
    ours = schedules.cosine(0.996, STEPS, final=1.0)(torch.arange(STEPS))
    torch.testing.assert_close(ours, torch.tensor(tau, dtype=torch.float64), rtol=0, atol=1e-15)


# --- property --------------------------------------------------------------------------------------------------

SCHEDULES = {
    "constant": schedules.constant(0.2),
    "linear": schedules.linear(0.1, 0.2, 9),
    "cosine": schedules.cosine(0.2, 9, final=0.1),
    "warmup_cosine": schedules.warmup_cosine(0.2, warmup_steps=3, steps=9),
    "step": schedules.step(0.2, boundaries=(2, 9), factor=0.5),
    "step without boundaries": schedules.step(0.2, boundaries=(), factor=0.5),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_step_is_an_int_or_a_tensor_also_under_vmap_and_the_last_value_stays(name):
    schedule, k = SCHEDULES[name], torch.arange(15)
    values = schedule(k)
    assert values.dtype == torch.float64 and values.shape == k.shape
    assert torch.equal(values, torch.stack([schedule(i) for i in range(15)]))
    assert torch.equal(values, torch.func.vmap(schedule)(k))
    assert torch.equal(values[9:], values[9].expand(6))


@pytest.mark.parametrize(
    "call,error,words",
    [
        (lambda: schedules.constant(-0.1), ValueError, "value: expected a number in 0..inf, got -0.1"),
        (lambda: schedules.cosine(0.1, 0), ValueError, "steps: expected a number above 0, got 0"),
        (lambda: schedules.cosine(0.1, 9, final=float("nan")), ValueError, "final"),
        (lambda: schedules.linear(0.1, -1.0, 9), ValueError, "final"),
        (lambda: schedules.warmup_cosine(0.1, warmup_steps=9, steps=9), ValueError, "warmup_steps 9, steps 9"),
        (lambda: schedules.step(0.1, boundaries=(5, 3), factor=0.1), ValueError, "got [5, 3]"),
        (lambda: schedules.step(0.1, boundaries=(0,), factor=0.1), ValueError, "above 0"),
        (lambda: schedules.cosine(0.1, 9)(1.5), TypeError, "step: expected integers"),
    ],
)
def test_wrong_arguments_are_named(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)
