"""A program for `torch.export` has plain operations only, and the bits of the uncompiled one; a compiler gets nodes."""

import pytest
import torch
from torch import nn

from functional import random
from functional.kernels import conv2d, max_pool2d


class Network(nn.Module):
    """A convolution of one channel and a maximum over tiles, which both have a form for compilers."""

    def forward(self, images, weight, bias):
        return max_pool2d(conv2d(images, weight, bias, padding=1), 2)


def arguments():
    keys = random.split(random.key(0), 3)
    return random.normal(keys[0], (2, 1, 8, 8)), random.normal(keys[1], (4, 1, 3, 3)), random.normal(keys[2], (4,))


def test_an_exported_program_has_plain_operations_and_the_same_bits():
    program = torch.export.export(Network(), arguments())
    operations = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert operations == ["aten.conv2d.default", "aten.max_pool2d.default"]
    assert torch.equal(program.module()(*arguments()), Network()(*arguments()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_compiler_gets_the_node(graph_of):
    code = graph_of(Network(), *arguments())
    assert "max_of_tiles" in code and "pad" in code
