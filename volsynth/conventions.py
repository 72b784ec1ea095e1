"""Conventions of the whole package: the background's colour, and images as floats and as bytes."""

import numpy as np
from jaxtyping import Float, UInt8

from volsynth.errors import UserError

MAGENTA = (255, 0, 255)
"""The background colour of every prepared image (Knoche 2019, section 6.1), as 8-bit RGB."""

BACKGROUND = tuple(level / 127.5 - 1.0 for level in MAGENTA)
"""The background colour in the range of images for networks, [-1, 1]."""


def to_uint8(image: Float[np.ndarray, "*B 3"]) -> UInt8[np.ndarray, "*B 3"]:
    """Maps [-1, 1] to 0..255 by rounding; values outside are clipped, NaN becomes 0.

    Args:
      image: float RGB, any leading axes.

    Raises:
      UserError: the array is not of a float dtype or its last axis is not RGB.
    """
    image = np.asarray(image)
    # bfloat16 is none of NumPy's own float kinds; what must be kept out are integers.
    if image.dtype.kind in "biu" or image.ndim == 0 or image.shape[-1] != 3:
        raise UserError(
            f"to_uint8: the image must be float RGB [..., 3] in [-1, 1], "
            f"got {image.dtype} {image.shape}."
        )
    level = (image.astype(np.float32) + 1.0) * 127.5
    # A picture shown while a training run goes wrong must not be what stops it.
    return np.rint(np.nan_to_num(np.clip(level, 0.0, 255.0), nan=0.0)).astype(np.uint8)


def to_float(image: UInt8[np.ndarray, "*B 3"]) -> Float[np.ndarray, "*B 3"]:
    """Maps levels 0..255 to [-1, 1], the range of images for networks."""
    return image.astype(np.float32) / 127.5 - 1
