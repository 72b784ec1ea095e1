"""Image files of users and archives, read as `volsynth.pictures` reads them."""

import os
import pathlib

import numpy as np
from jaxtyping import UInt8

from data_prep.errors import SightingError
from volsynth import pictures
from volsynth.errors import UserError
from volsynth.files import File, InMemory


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
        return pictures.read_rgba(file)
    except UserError as error:
        where = str(file)
        reason = str(error).removeprefix(where).lstrip(": ").removesuffix(".")
        raise SightingError(where, reason) from None
