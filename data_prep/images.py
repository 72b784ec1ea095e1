"""Image files: those from outside are looked at before they are decoded, ours are written alike."""

import io
import os
import warnings

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from data_prep.errors import SightingError

MOST_PIXELS = 64_000_000
"""Of an image from outside."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")

_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def read(content: bytes, where: str) -> UInt8[np.ndarray, "H W 4"]:
    """An image, turned as its EXIF data says, with its alpha channel or an opaque one.

    Args:
      content: of the file.
      where: its name, for messages.

    Raises:
      SightingError: it is no image, of no format or kind that is read, damaged, or too large; sizes
        are checked before anything is decoded.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of sizes that are looked at here.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _check(image.size, image.mode, where)
                return np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
    except SightingError:
        raise
    except Image.DecompressionBombError:
        raise SightingError(where, f"the image has more than {MOST_PIXELS:,} pixels") from None
    except Image.UnidentifiedImageError:
        raise SightingError(where, f"is no image of {', '.join(FORMATS)}") from None
    except Exception as error:  # Decoders raise whatever a damaged file leads them to.
        said = " ".join(str(error).split())[:120] or type(error).__name__
        raise SightingError(where, f"cannot be read as {', '.join(FORMATS)} ({said})") from None


def _check(size, mode, where):
    width, height = size
    if width * height > MOST_PIXELS:
        raise SightingError(
            where, f"the image has {width} x {height} pixels, more than {MOST_PIXELS:,}"
        )
    if mode not in _MODES:
        raise SightingError(where, f"the image has mode {mode}; allowed: {', '.join(_MODES)}")


def read_file(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "H W 4"]:
    """`read` for a file.

    Raises:
      SightingError: as `read`, or there is no such file.
    """
    try:
        with open(path, "rb") as file:
            return read(file.read(), os.fspath(path))
    except OSError as error:
        raise SightingError(os.fspath(path), f"cannot be read ({error.strerror})") from None


def to_png(image: np.ndarray) -> bytes:
    """PNG of [S, S, 3] uint8, or [S, S, 1] uint8 or uint16; the same bytes every time."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()
