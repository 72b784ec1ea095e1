"""The PNG files that records hold: the same picture always gives the same bytes."""

import io

import numpy as np
from PIL import Image


def encode(image: np.ndarray) -> bytes:
    """Encodes an image as PNG: [S, S, 3] uint8, or [S, S, 1] uint8 or uint16."""
    # No options and no metadata: the bytes are part of the identity of a data set.
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()
