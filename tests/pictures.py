"""Figures as they are written, and whether their words can be read."""

import itertools

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def record_figures(monkeypatch):
    """A list to which each figure is added when it is written."""
    figures, save = [], Figure.savefig

    def savefig(figure, *arguments, **options):
        figures.append(figure)
        return save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures


def require_legible(figure):
    """Check that all words lie within the figure and that no two overlap."""
    FigureCanvasAgg(figure).draw()
    found = _words(figure)
    for word, (left, bottom, right, top) in found:
        inside = left >= -1 and bottom >= -1 and right <= figure.bbox.width + 1 and top <= figure.bbox.height + 1
        assert inside, f"{word!r} leaves the picture"
    for (word, a), (other, b) in itertools.combinations(found, 2):
        overlap = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
        assert (overlap <= 1).any(), f"{word!r} and {other!r} overlap"


def _words(figure):
    """The visible words, with the corners of their boxes `(left, bottom, right, top)` in pixels."""
    unseen = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            seen = axis.get_visible() and axes.axison
            ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
            unseen |= {id(label) for place, label in ticks if not (seen and low <= place <= high)}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text() and id(text) not in unseen]
    return [(text.get_text(), text.get_window_extent().extents) for text in texts]
