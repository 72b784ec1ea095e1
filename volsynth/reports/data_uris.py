"""Pictures as data URIs, so that a page needs no file but itself."""

import base64
import io
import pathlib
from typing import Any

# Pictures wider than this, in pixels, are made smaller: a page holds many of them.
_WIDEST = 1200


def picture_uri(path: pathlib.Path) -> str | None:
    """A picture file as a data URI, at most 1200 pixels wide; None if it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
    # Pillow raises all of these for files that are damaged or not pictures.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if small.width > _WIDEST:
        height = max(round(small.height * _WIDEST / small.width), 1)
        small = small.resize((_WIDEST, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    # Optimised, since base64 adds a third to every byte.
    small.save(buffer, format="PNG", optimize=True)
    return _png_uri(buffer.getvalue())


def figure_uri(drawn: Any) -> str:
    """A matplotlib figure as a data URI."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=150)
    return _png_uri(buffer.getvalue())


def _png_uri(png):
    return "data:image/png;base64," + base64.b64encode(png).decode()
