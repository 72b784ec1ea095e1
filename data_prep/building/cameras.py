"""Projection by the cameras of archives, each of which has its own model of the lens."""

import numpy as np
from jaxtyping import Float

from data_prep.building.sighting import Camera
from volsynth.data.schema import CAMERA_MODELS
from volsynth.ops import geometry


def project(points: Float[np.ndarray, "*b n 3"], camera: Camera) -> Float[np.ndarray, "*b n 2"]:
    """Pixel coordinates in the frame of points in camera coordinates (mm, z > 0)."""
    # Without a lens nothing is computed, rather than a polynomial of zeros.
    distortion = None if camera.model == "none" else np.asarray(camera.distortion, float)
    return geometry.project(
        points, np.asarray(camera.intrinsics, float), distortion, CAMERA_MODELS[camera.model]
    )


def crop(
    intrinsics: Float[np.ndarray, "3 3"], corner: Float[np.ndarray, "2"], scale: float
) -> Float[np.ndarray, "3 3"]:
    """Intrinsics of an image that was cut off and then resized.

    Args:
      intrinsics: K of the frame, pixels.
      corner: (x, y) of the crop's top left corner in the frame, pixels.
      scale: by how much the crop was enlarged.
    """
    moved = np.array(intrinsics, float)
    moved[:2, 2] -= corner
    # Pixel centres lie at half numbers, so that scaling needs no further shift.
    moved[:2] *= scale
    return moved
