"""Projection by the cameras of archives, each with its own model of the lens."""

import numpy as np
from jaxtyping import Float

from data_prep.building.sighting import Camera
from volsynth.data.schema import CAMERA_MODELS
from volsynth.ops import geometry


def project(points: Float[np.ndarray, "*b n 3"], camera: Camera) -> Float[np.ndarray, "*b n 2"]:
    """Pixels of the frame of points in camera coordinates (mm, z > 0)."""
    distortion = None if camera.model == "none" else np.asarray(camera.distortion, float)
    return geometry.project(
        points, np.asarray(camera.intrinsics, float), distortion, CAMERA_MODELS[camera.model]
    )


def crop(
    intrinsics: Float[np.ndarray, "3 3"], corner: Float[np.ndarray, "2"], scale: float
) -> Float[np.ndarray, "3 3"]:
    """Intrinsics of an image cut off at `corner` (pixels) and then enlarged by `scale`."""
    moved = np.array(intrinsics, float)
    moved[:2, 2] -= corner
    moved[:2] *= scale
    return moved
