"""Image files: `volsynth.images.reader` reads those from outside, ours are written here as PNG."""

import io
import os
import pathlib

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from data_prep.errors import SightingError
from volsynth.errors import UserError
from volsynth.files import File, InMemory
from volsynth.images import reader


def read(content: bytes, where: str) -> UInt8[np.ndarray, "H W 4"]:
    """An image, turned as its EXIF data says, with its alpha channel or an opaque one.

    Args:
      content: of the file.
      where: its name, for messages.

    Raises:
      SightingError: it is no image, of no format or kind that is read, damaged, or too large.
    """
    return _read(InMemory(where, content))


def read_file(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "H W 4"]:
    """`read` for a file.

    Raises:
      SightingError: as `read`, or there is no such file.
    """
    return _read(pathlib.Path(path))


def _read(file: File) -> UInt8[np.ndarray, "H W 4"]:
    try:
        return reader.read_rgba(file)
    except UserError as error:
        where = str(file)
        reason = str(error).removeprefix(where).lstrip(": ").removesuffix(".")
        raise SightingError(where, reason) from None


def to_png(image: np.ndarray) -> bytes:
    """PNG of [S, S, 3] uint8, or [S, S, 1] uint8 or uint16; the same bytes every time."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()
