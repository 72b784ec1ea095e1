"""Reading the image files of users and archives, in the way of `volsynth.images.reader`."""

import os
import pathlib

import numpy as np
from jaxtyping import UInt8

from data_prep.errors import SightingError
from volsynth.errors import UserError
from volsynth.files import File, InMemory
from volsynth.images import reader


def read(content: bytes, where: str) -> UInt8[np.ndarray, "H W 4"]:
    """Decodes an image, turned as its EXIF data says, with its alpha channel or an opaque one.

    Args:
      content: the content of the file.
      where: the name of the file, for messages.

    Raises:
      SightingError: it is no image, of no format or kind that is read, damaged, or too large.
    """
    return _read(InMemory(where, content))


def read_file(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "H W 4"]:
    """Reads an image file; see `read`.

    Raises:
      SightingError: as `read`, or there is no such file.
    """
    return _read(pathlib.Path(path))


def _read(file: File) -> UInt8[np.ndarray, "H W 4"]:
    try:
        # One reader for all pictures: limits of size, formats and EXIF are the same everywhere.
        return reader.read_rgba(file)
    except UserError as error:
        where = str(file)
        # A `SightingError` puts the name in front itself.
        reason = str(error).removeprefix(where).lstrip(": ").removesuffix(".")
        raise SightingError(where, reason) from None
