"""What is in a picture: its colours, its size, and the words of the figure that it was drawn from."""

import pytest
from pictures import record_figures, require_legible
from PIL import Image

BYTES = 100_000  # of a picture for a README


@pytest.fixture
def colours():
    """The colours of a picture, with the number of pixels of each."""

    def count(path):
        return {colour: n for n, colour in Image.open(path).convert("RGB").getcolors(maxcolors=2**24)}

    return count


@pytest.fixture
def drawn(monkeypatch):
    """The figures as they are written; their words lie within them and do not overlap."""
    figures = record_figures(monkeypatch)
    yield figures
    for figure in figures:
        require_legible(figure)


@pytest.fixture
def small():
    """Check that a picture is small enough for a README."""

    def require(path):
        assert path.stat().st_size < BYTES
        return path

    return require
