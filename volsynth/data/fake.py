"""A valid random batch of any size, without any data: for tests, benchmarks and shape inference."""

import jax
import numpy as np

from volsynth import skeleton
from volsynth.ops import geometry

_PICTURE_MM = np.float32(2000)  # What a whole picture shows.

# A standing person from the front, as shares of the image's side, (x, y, z) from the centre.
_STANDING = {
    "head_top": (0.0, -0.44, 0.0),
    "head": (0.0, -0.38, -0.01),
    "neck": (0.0, -0.29, 0.0),
    "right_shoulder": (-0.09, -0.27, 0.0),
    "right_elbow": (-0.12, -0.12, 0.02),
    "right_wrist": (-0.14, 0.01, -0.04),
    "left_shoulder": (0.09, -0.27, 0.0),
    "left_elbow": (0.12, -0.12, 0.02),
    "left_wrist": (0.14, 0.01, -0.04),
    "right_hip": (-0.06, -0.01, 0.0),
    "right_knee": (-0.07, 0.2, -0.03),
    "right_ankle": (-0.07, 0.42, 0.02),
    "left_hip": (0.06, -0.01, 0.0),
    "left_knee": (0.07, 0.2, -0.03),
    "left_ankle": (0.07, 0.42, 0.02),
}


def poses(count: int, image_size: int, seed: int = 0, spread: float = 0.02) -> np.ndarray:
    """Standing people with joints moved at random, [count, 15, 3] in pixels."""
    rng = np.random.Generator(np.random.Philox(seed))
    standing = np.array([_STANDING[name] for name in skeleton.JOINTS])
    moved = standing + spread * rng.standard_normal((count, *standing.shape)) + 0.5
    return (moved * image_size).astype(np.float32)


def batch(batch_size: int, image_size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """A batch as `data.pipeline` yields it: noise for images, people for poses."""
    rng = np.random.Generator(np.random.Philox(seed))
    result = {}
    for index, role in enumerate(("source", "target")):
        shape = (batch_size, image_size, image_size, 3)
        result[f"{role}_image"] = rng.uniform(-1, 1, shape).astype(np.float32)
        result[f"{role}_mask"] = rng.uniform(size=shape[:3]) < 0.5
        joints = poses(batch_size, image_size, 2 * seed + index)
        result[f"{role}_joints"] = joints
        result[f"{role}_joints_mm"] = geometry.from_pelvis(joints * (_PICTURE_MM / image_size))
        result[f"{role}_visible"] = np.ones((batch_size, skeleton.NUM_JOINTS), bool)
    return result


def spec(batch_size: int, image_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and dtypes of such a batch, without making one."""
    joints = (batch_size, skeleton.NUM_JOINTS)
    image = (batch_size, image_size, image_size)
    shapes = {
        "image": ((*image, 3), np.float32),
        "mask": (image, np.bool_),
        "joints": ((*joints, 3), np.float32),
        "joints_mm": ((*joints, 3), np.float32),
        "visible": (joints, np.bool_),
    }
    return {
        f"{role}_{name}": jax.ShapeDtypeStruct(shape, dtype)
        for role in ("source", "target")
        for name, (shape, dtype) in shapes.items()
    }
