"""Bytes as floats: every value, compiled and mapped, and one node for a compiler."""

import pytest
import torch

from functional.kernels import bytes_to_floats

ALL = torch.arange(256).to(torch.uint8).reshape(2, 128)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("function", [bytes_to_floats, torch.func.vmap(bytes_to_floats, in_dims=1, out_dims=1)])
def test_a_compiled_program_has_all_values(function):
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    for converted in (function(ALL), compiled(ALL)):
        assert torch.equal(converted, torch.arange(256.0).reshape(2, 128)) and converted.dtype == torch.float32


def test_a_compiler_gets_the_node(graph_of):
    assert "funczoo.bytes_to_floats" in graph_of(bytes_to_floats, ALL)
