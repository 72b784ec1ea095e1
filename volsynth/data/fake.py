"""Random batches in a valid form, without any data: for tests, benchmarks and shape inference."""

import zlib
from collections.abc import Sequence

import jax
import numpy as np

from volsynth import skeleton
from volsynth.fields import BATCH, PAIR, ROLES, role_and_kind, shapes
from volsynth.ops import geometry

# The length that a picture's side shows, in float32 as a batch's joints are.
_PICTURE_MM = np.float32(2000)

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
    """Joints of standing people, moved at random, [count, 15, 3] in pixels.

    Args:
      count: number of people.
      image_size: side of the images, pixels.
      seed: seed of the random numbers.
      spread: standard deviation of the movement, as a share of the image's side.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    standing = np.array([_STANDING[name] for name in skeleton.JOINTS])
    moved = standing + spread * rng.standard_normal((count, *standing.shape)) + 0.5
    return (moved * image_size).astype(np.float32)


def batch(
    batch_size: int,
    image_size: int,
    seed: int = 0,
    fields: Sequence[str] = PAIR,
    frames: int = 1,
) -> dict[str, np.ndarray]:
    """A batch in the form in which `data.pipeline` yields it: noise for images, people for poses.

    Args:
      batch_size: number of examples.
      image_size: side of the images, pixels.
      seed: seed of the random numbers.
      fields: names of the fields, see `fields.BATCH`. The values of a field do not depend on the
        others that are asked for.
      frames: number of frames of clips.

    Raises:
      UserError: a batch has no such field.
    """
    wanted = {name: role_and_kind(name) for name in fields}
    shared = np.random.Generator(np.random.Philox(seed))
    made = {}
    # All fields of a pair are made in order, also those that were not asked for: they draw from one
    # stream, and the numbers that each gets shall not depend on the others.
    for name in (*PAIR, *(name for name in wanted if name not in PAIR)):
        field, (role, _) = BATCH[name], role_and_kind(name)
        shape = field.shape(batch_size, image_size, frames)
        if field.augmented in ("points", "directions"):
            made[name] = _pose(field, shape, image_size, 2 * seed + _number(role))
        elif field.is_picture:
            # Other fields have streams of their own, which their names give.
            own = np.random.Philox(key=[seed, zlib.crc32(name.encode())])
            made[name] = _noise(field, shape, shared if name in PAIR else np.random.Generator(own))
        else:
            # Flags of joints: all joints of these people are known.
            made[name] = np.ones(shape, field.dtype)
    return {name: made[name] for name in wanted}


def _number(role):
    """A number for each role, 0 and 1 for those of a pair."""
    return ROLES.index(role) if role in ROLES else zlib.crc32(role.encode())


def _pose(field, shape, image_size, seed):
    """Joints of standing people, in pixels or from the pelvis in millimetres."""
    joints = poses(int(np.prod(shape[:-2])), image_size, seed)
    if field.augmented == "directions":
        joints = geometry.from_pelvis(joints * (_PICTURE_MM / image_size))
    return joints.reshape(shape)


def _noise(field, shape, rng):
    """Values drawn uniformly from the range of a field."""
    if field.dtype == "bool":
        return rng.uniform(size=shape) < 0.5
    if np.issubdtype(field.dtype, np.integer):
        return rng.integers(int(field.low), int(field.high), shape, field.dtype, endpoint=True)
    return rng.uniform(field.low, field.high, shape).astype(field.dtype)


def spec(
    batch_size: int, image_size: int, fields: Sequence[str] = PAIR, frames: int = 1
) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes and dtypes of a batch, without making one; see `batch` for the arguments."""
    return {
        name: jax.ShapeDtypeStruct(shape, dtype)
        for name, (shape, dtype) in shapes(fields, batch_size, image_size, frames).items()
    }
