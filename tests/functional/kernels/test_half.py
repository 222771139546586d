"""Products in bfloat16: torch's own up to one rounding, and its own bits where the processor has instructions."""

import pytest
import torch
import torch.nn.functional as F

from functional import random
from functional.kernels import conv2d, half, widened

OPERATIONS = {
    "linear": (widened(F.linear), F.linear, (6, 40), (5, 40)),
    "convolution": (conv2d, F.conv2d, (2, 16, 7, 8), (5, 16, 3, 3)),
    "transposed convolution": (widened(F.conv_transpose2d), F.conv_transpose2d, (2, 16, 7, 8), (16, 5, 3, 3)),
}
each_operation = pytest.mark.parametrize("name", OPERATIONS)


def arguments(name):
    *_, inputs, weight = OPERATIONS[name]
    keys = random.split(random.key(0), 3)
    tensors = (random.normal(key, shape) for key, shape in zip(keys, (inputs, weight, (5,)), strict=True))
    return [x.bfloat16().requires_grad_() for x in tensors]


def outputs_and_gradients(function, tensors):
    outputs = function(*tensors)
    cotangent = random.normal(random.key(1), outputs.shape).bfloat16()
    return [outputs, *torch.autograd.grad(outputs, tensors, cotangent)]


@each_operation
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_it_equals_torch_up_to_rounding_without_instructions(name, compiled, monkeypatch):
    monkeypatch.setattr(half, "HAS_BFLOAT16", False)
    torch.compiler.reset()
    ours, theirs, *_ = OPERATIONS[name]
    ours = torch.compile(ours, backend="aot_eager", fullgraph=True) if compiled else ours
    tensors = arguments(name)
    found, expected = outputs_and_gradients(ours, tensors), outputs_and_gradients(theirs, tensors)
    assert {x.dtype for x in found} == {torch.bfloat16}
    for x, y in zip(found, expected, strict=True):
        assert (x - y).abs().max() <= 2**-7 * y.abs().max()  # a bfloat16 has eight significant bits


@each_operation
def test_the_sum_is_in_float32_and_rounded_once(name, monkeypatch):
    monkeypatch.setattr(half, "HAS_BFLOAT16", False)
    ours, theirs, *_ = OPERATIONS[name]
    tensors = arguments(name)
    assert torch.equal(ours(*tensors), theirs(*(x.float() for x in tensors)).bfloat16())


@each_operation
def test_with_instructions_it_is_torch_bit_for_bit(name, monkeypatch):
    monkeypatch.setattr(half, "HAS_BFLOAT16", True)
    ours, theirs, *_ = OPERATIONS[name]
    tensors = arguments(name)
    assert all(map(torch.equal, outputs_and_gradients(ours, tensors), outputs_and_gradients(theirs, tensors)))


def test_an_export_holds_the_plain_operation(monkeypatch):
    monkeypatch.setattr(half, "HAS_BFLOAT16", False)

    class Linear(torch.nn.Module):
        def forward(self, *tensors):
            return widened(F.linear)(*tensors)

    program = torch.export.export(Linear(), tuple(arguments("linear")))
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert called == ["aten.linear.default"]
