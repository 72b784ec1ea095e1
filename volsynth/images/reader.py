"""Pictures from files that users bring, as arrays of 8-bit colours."""

import io
import warnings

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from volsynth import files
from volsynth.conventions import MAGENTA
from volsynth.errors import UserError
from volsynth.files import File, InMemory

MOST_PIXELS = 64_000_000
"""The largest number of pixels of a picture that is decoded."""

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif"}
"""The formats that are read, by Pillow's names, and the usual ending of their files."""

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""The pixel formats that are read, by Pillow's names; those with more bits would be cut off."""


def read_rgb(path: File) -> UInt8[np.ndarray, "H W 3"]:
    """Reads a picture as RGB, on magenta where it is transparent.

    Raises:
      UserError: as `read_rgba`.
    """
    return read(path)[0]


def read(path: File) -> tuple[UInt8[np.ndarray, "H W 3"], str]:
    """Reads a picture as RGB, on magenta where it is transparent, and its format of `FORMATS`.

    Raises:
      UserError: as `read_rgba`.
    """
    picture, kind = _decoded(path)
    # Most pictures are opaque and need no compositing.
    if np.all(picture[..., 3] == 255):
        return np.ascontiguousarray(picture[..., :3]), kind
    return over_colour(picture), kind


def read_rgba(path: File) -> UInt8[np.ndarray, "H W 4"]:
    """Reads a picture with its alpha channel or an opaque one, turned as its EXIF data says.

    Raises:
      UserError: the file cannot be read, is no picture of `FORMATS` and `MODES`, or is too large.
    """
    return _decoded(path)[0]


def over_colour(
    picture: UInt8[np.ndarray, "H W C"], colour: tuple[int, int, int] = MAGENTA
) -> UInt8[np.ndarray, "H W 3"]:
    """An RGB or RGBA picture over a plain colour, which shows where the picture is transparent."""
    if picture.shape[-1] == 3:
        return picture
    page = Image.new("RGBA", picture.shape[1::-1], (*colour, 255))
    return np.asarray(Image.alpha_composite(page, Image.fromarray(picture)).convert("RGB"))


def _opened(path):
    return io.BytesIO(path.content) if isinstance(path, InMemory) else files.open_regular(path)


def _decoded(path):
    """The picture as RGBA, and its format; every failure is a UserError that names the file."""
    try:
        with warnings.catch_warnings(), _opened(path) as file:
            # Pillow warns of sizes that are looked at here, and of what it makes good itself.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=tuple(FORMATS)) as image:
                _check(image, path)
                kind = str(image.format)
                # Cameras store pictures as their sensor lies, with a note how to turn them.
                image = ImageOps.exif_transpose(image)
                has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
                image = image if has_alpha else image.convert("RGB")
                return np.asarray(image.convert("RGBA")), kind
    except FileNotFoundError as error:
        raise UserError(f"{path} is not there.") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: its pixels are too many to be read.") from error
    except UserError:
        raise
    except Exception as error:  # Decoders raise whatever a damaged file leads them to.
        said = getattr(error, "strerror", None) or str(error)
        said = " ".join(said.split())[:120] or type(error).__name__
        # Pillow's text for unknown formats is the file object's representation.
        known = "" if isinstance(error, UnidentifiedImageError) else f": {said}"
        allowed = ", ".join(FORMATS)
        raise UserError(f"{path} cannot be read as a picture ({allowed}){known}.") from error


def _check(image, path):
    """Raises UserError for a picture too large or of another pixel format, before it is decoded."""
    # Opening reads the header alone: a small file that unpacks to gigabytes goes no further.
    if image.width * image.height > MOST_PIXELS:
        raise UserError(
            f"{path}: {image.width} x {image.height} pixels are too many; at most "
            f"{MOST_PIXELS:,} are read."
        )
    if image.mode not in MODES:
        raise UserError(
            f"{path} has pixels of kind {image.mode}; allowed are 8 bits a channel: "
            f"{', '.join(MODES)}."
        )
