"""The page of `zoo report`: one HTML file with its style, its program, its data and its images inside.

    page.html     the skeleton: sections, controls, and $placeholders for the parts below
    page.css      colours for light and dark screens, and the layout from 400 pixels on
    page.js       fills the sections from the data; no library
    tiles.py      thumbnails in sheets, which the page decodes when it shows one of them

The page cannot reach a network: its Content-Security-Policy forbids it. Names of files and of classes may be hostile.
They are in one block of JSON without the character `<`, and the program writes them as text, never as markup.
"""

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from zoo.files import write_atomically
from zoo.reports.page.tiles import Tiles


def write_page(path: str | Path, title: str, data: Mapping[str, Any], tiles: Tiles, large: Tiles) -> Path:
    """Write the page, in a folder that is made if it is missing.

    Args:
        path: the path of the HTML file.
        title: the heading.
        data: what page.js shows, as it describes it; plain values.
        tiles: a thumbnail of every image.
        large: larger ones of the images to label, in their order.

    Raises:
        OSError: if the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page(title, data, tiles, large).encode())
    return path


def page(title: str, data: Mapping[str, Any], tiles: Tiles, large: Tiles) -> str:
    r"""The page as text; arguments as for `write_page`.

    Example:
        >>> text = page("<b>", {"paths": ["</script>"]}, Tiles(8, 1, ()), Tiles(8, 1, ()))
        >>> "<title>&lt;b&gt;</title>" in text, '"\\u003c/script>"' in text
        (True, True)
    """
    shown = {**data, "tiles": tiles.place(), "large": large.place()}
    here = files("zoo.reports.page")
    return Template((here / "page.html").read_text("utf-8")).substitute(
        title=escape(title),
        style=(here / "page.css").read_text("utf-8"),
        program=(here / "page.js").read_text("utf-8"),
        data=json.dumps(shown, separators=(",", ":")).replace("<", "\\u003c"),
        tiles=_blocks("tiles", tiles),
        large=_blocks("large", large),
    )


def _blocks(name: str, tiles: Tiles) -> str:
    """The sheets as blocks of text, which a browser keeps without decoding them."""
    return "\n".join(f'<script type="text/plain" data-sheet="{name}">{sheet}</script>' for sheet in tiles.sheets)
