"""What is in a picture: its colours, and the words of the figure that it was drawn from."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

BYTES = 100_000  # of a picture for a README


@pytest.fixture
def colours():
    """The colours of a picture by the number of its pixels that have them."""

    def count(path):
        return {colour: n for n, colour in Image.open(path).convert("RGB").getcolors(maxcolors=2**24)}

    return count


@pytest.fixture
def drawn(monkeypatch):
    """The figures as they are written; each is small, and its words lie within it and do not overlap."""
    figures, save = [], Figure.savefig

    def savefig(figure, *arguments, **options):
        figures.append(figure)
        return save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
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


def words(figure):
    """The visible words, by the corners of their boxes `(left, bottom, right, top)` in pixels."""
    unseen = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            seen = axis.get_visible() and axes.axison
            ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
            unseen |= {id(label) for place, label in ticks if not (seen and low <= place <= high)}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text() and id(text) not in unseen]
    return [(text.get_text(), text.get_window_extent().extents) for text in texts]


def require_legible(figure):
    FigureCanvasAgg(figure).draw()
    found = words(figure)
    for word, (left, bottom, right, top) in found:
        inside = left >= -1 and bottom >= -1 and right <= figure.bbox.width + 1 and top <= figure.bbox.height + 1
        assert inside, f"{word!r} leaves the picture"
    for (word, a), (other, b) in itertools.combinations(found, 2):
        overlap = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
        assert (overlap <= 1).any(), f"{word!r} and {other!r} overlap"
