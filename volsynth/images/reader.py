"""Pictures from files that people bring, as arrays; and folders of them, one for each pair."""

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
"""Of a picture; larger ones are not decoded."""

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif"}

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Kinds of pixels that are read; what has more bits would be cut off."""


def read_rgb(path: File) -> UInt8[np.ndarray, "H W 3"]:
    """`read`, without the format."""
    return read(path)[0]


def read(path: File) -> tuple[UInt8[np.ndarray, "H W 3"], str]:
    """A picture as RGB, and its format of `FORMATS`; what is transparent is put on magenta.

    Raises:
      UserError: as `read_rgba`.
    """
    picture, kind = _decoded(path)
    if np.all(picture[..., 3] == 255):
        return np.ascontiguousarray(picture[..., :3]), kind
    image = Image.fromarray(picture)
    page = Image.new("RGBA", image.size, (*MAGENTA, 255))
    return np.asarray(Image.alpha_composite(page, image).convert("RGB")), kind


def read_rgba(path: File) -> UInt8[np.ndarray, "H W 4"]:
    """A picture with its alpha channel or an opaque one, turned as its EXIF data says.

    Raises:
      UserError: the file cannot be read, is no picture of `FORMATS` and `MODES`, or is too large.
    """
    return _decoded(path)[0]


def _opened(path):
    return io.BytesIO(path.content) if isinstance(path, InMemory) else files.open_regular(path)


def _decoded(path):
    try:
        with warnings.catch_warnings(), _opened(path) as file:
            # Pillow warns of sizes that are looked at here, and of what it makes good itself.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=tuple(FORMATS)) as image:
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
                kind = str(image.format)
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
        known = "" if isinstance(error, UnidentifiedImageError) else f": {said}"
        allowed = ", ".join(FORMATS)
        raise UserError(f"{path} cannot be read as a picture ({allowed}){known}.") from error
