"""What a compiler gets to see."""

import pytest
import torch


@pytest.fixture
def graph_of():
    """A function that compiles another for some arguments, and returns the code of its one graph."""

    def traced(function, *arguments):
        graphs = []

        def keep(graph, _):
            graphs.append(str(graph.code))
            return graph.forward

        torch.compiler.reset()
        torch.compile(function, backend=keep, fullgraph=True)(*arguments)
        return graphs[0]

    return traced
