"""Cameras and least-squares fits, in one implementation for NumPy and for JAX arrays.

Conventions: x right, y down, z away from the camera. Metric points are millimetres. Pixel
coordinates are continuous: the centre of the pixel in row i and column j lies at (j + .5, i + .5).
Points are rows, so a rotation applies as `points @ R.T`.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from volsynth import skeleton

Array = Any
"""A NumPy array or a JAX array; results are of the kind of the arguments."""


def namespace(*arrays: Array) -> Any:
    """The module to compute with: `numpy` if no argument is a JAX array, else `jax.numpy`."""
    if all(isinstance(a, (np.ndarray, np.generic, float, int, list, tuple)) for a in arrays):
        return np
    import jax.numpy as jnp  # Late, so that the data pipeline runs without JAX.

    return jnp


def project(
    points: Float[Array, "*b n 3"],
    intrinsics: Float[Array, "*b 3 3"],
    distortion: Float[Array, "*b 5"] | None = None,
    cross: float = 1.0,
) -> Float[Array, "*b n 2"]:
    """The perspective projection of points in camera coordinates (mm) to pixels.

    Args:
      points: camera coordinates, mm, z > 0.
      intrinsics: K, in pixels.
      distortion: k1, k2, k3, p1, p2.
      cross: factor of the tangential cross terms: 1 in the model of the Human3.6M code, 2 in that
        of Brown and of OpenCV.

    Returns:
      The points in pixels, (x, y).
    """
    xnp = namespace(points, intrinsics, *(() if distortion is None else (distortion,)))
    normalised = points[..., :2] / points[..., 2:]
    if distortion is not None:
        k1, k2, k3, p1, p2 = (distortion[..., None, i : i + 1] for i in range(5))
        r2 = xnp.sum(normalised**2, axis=-1, keepdims=True)
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        tangential = cross * (p1 * normalised[..., 1:] + p2 * normalised[..., :1])
        shift = xnp.concatenate([p2 * r2, p1 * r2], axis=-1)
        normalised = normalised * (radial + tangential) + shift
    return normalised @ xnp.swapaxes(intrinsics[..., :2, :2], -1, -2) + intrinsics[..., None, :2, 2]


def mirrored_pose(
    joints: Float[Array, "*b j 3"], visible: Bool[Array, "*b j"], side: float
) -> tuple[Float[Array, "*b j 3"], Bool[Array, "*b j"]]:
    """The pose of a person in a mirror: left and right exchanged, x counted from the other edge.

    Args:
      joints: x, y, z, in pixels.
      visible: which joints are known.
      side: width of the image, pixels.

    Returns:
      Joints and visibility, in the order of `skeleton.JOINTS`.
    """
    mirror = np.array(skeleton.MIRROR)
    x = side - joints[..., mirror, :1]
    mirrored = namespace(joints).concatenate([x, joints[..., mirror, 1:]], axis=-1)
    return mirrored, visible[..., mirror]


def image_pose(
    joints_px: Float[Array, "*b j 2"],
    joints_mm: Float[Array, "*b j 3"],
    visible: Any,
    intrinsics: Float[Array, "*b 3 3"],
    side: float,
) -> Float[Array, "*b j 3"]:
    """Joints in the coordinates that networks work in: pixels along all three axes.

    Depth gets the scale that width and height have at the person's mean depth, and is shifted so
    that the mean over the visible joints lies at the volume's centre (Knoche 2019, section 4.1);
    where none is visible, all count.

    Args:
      joints_px: projections, in pixels of the image.
      joints_mm: camera coordinates, mm.
      visible: [*b j], which joints count in the means.
      intrinsics: K of the same image; its focal lengths give the scale.
      side: side of the square image, pixels.

    Returns:
      (x, y, z) with z away from the camera and mean z = side / 2.
    """
    xnp = namespace(joints_px, joints_mm, intrinsics)
    weight = xnp.asarray(visible, joints_mm.dtype)
    # Where no joint is visible all count, so that the mean depth is not a division by zero.
    weight = xnp.where(xnp.any(weight > 0, axis=-1, keepdims=True), weight, 1)
    weight = weight / xnp.sum(weight, axis=-1, keepdims=True)
    depth = joints_mm[..., 2]
    mean_depth = xnp.sum(weight * depth, axis=-1, keepdims=True)
    focal = (intrinsics[..., 0, 0] + intrinsics[..., 1, 1])[..., None] / 2
    z = (depth - mean_depth) * focal / mean_depth + side / 2
    return xnp.concatenate([joints_px, z[..., None]], axis=-1)


def from_pelvis(joints: Float[Array, "*b j 3"]) -> Float[Array, "*b j 3"]:
    """Joints relative to the pelvis, which is the mean of the hips, in the unit that they have."""
    return joints - joints[..., np.array(skeleton.HIPS), :].mean(axis=-2, keepdims=True)


def similarity_fit(
    source: Float[Array, "*b n 3"], target: Float[Array, "*b n 3"]
) -> tuple[Float[Array, "*b"], Float[Array, "*b 3 3"], Float[Array, "*b 3"]]:
    """The least-squares 7-parameter (Helmert) transformation `target ~ scale * R @ source + t`.

    Knoche 2019, section 2.5.2 (Arun et al. 1987; Watson 2006), with the primes its equations 2.25
    and 2.26 lost: correlation sum(target~ source~^T), scale from the same least squares, that is
    sum(target~ . R source~) / sum(|source~|^2). A reflection is excluded by the determinant.

    Coinciding points give a finite, meaningless result with scale 0: check for them before.

    Returns:
      scale, rotation (determinant +1), translation.
    """
    xnp = namespace(source, target)
    mean_source = xnp.mean(source, axis=-2, keepdims=True)
    mean_target = xnp.mean(target, axis=-2, keepdims=True)
    centred_source, centred_target = source - mean_source, target - mean_target
    correlation = xnp.swapaxes(centred_target, -1, -2) @ centred_source
    u, _, vt = xnp.linalg.svd(correlation)
    # The best orthogonal matrix may be a reflection; the best rotation then turns the direction of
    # the smallest singular value round, which costs least.
    sign = xnp.where(xnp.linalg.det(u @ vt) < 0, -1, 1).astype(u.dtype)
    u = xnp.concatenate([u[..., :2], u[..., 2:] * sign[..., None, None]], axis=-1)
    rotation = u @ vt
    rotated = centred_source @ xnp.swapaxes(rotation, -1, -2)
    variance = xnp.sum(centred_source**2, axis=(-1, -2))
    tiny = np.finfo(np.float32).tiny
    scale = xnp.sum(centred_target * rotated, axis=(-1, -2)) / xnp.maximum(variance, tiny)
    # Points that coincide have scale 0 and not 0 / 0, thanks to the bound on the variance above.
    moved = scale[..., None] * (mean_source @ xnp.swapaxes(rotation, -1, -2))[..., 0, :]
    return scale, rotation, mean_target[..., 0, :] - moved


def minimal_rotation(
    source: Float[Array, "*b 3"], target: Float[Array, "*b 3"]
) -> Float[Array, "*b 3 3"]:
    """The smallest rotation that turns the direction of `source` into that of `target`.

    Two reflections, in the planes orthogonal to `source` and to the bisector of both directions.
    Opposite directions, where the rotation is not unique, get some half turn. Zero vectors give a
    finite, meaningless result.
    """
    xnp = namespace(source, target)
    tiny = np.finfo(np.float32).tiny
    eye = xnp.eye(3, dtype=source.dtype)

    def unit(v):
        return v / xnp.sqrt(xnp.maximum(xnp.sum(v**2, axis=-1, keepdims=True), tiny))

    def reflect(v):
        return eye - 2 * v[..., :, None] * v[..., None, :]

    a, b = unit(source), unit(target)
    # The axis the vector has least of is surely not parallel to it.
    least = eye[xnp.argmin(xnp.abs(a), axis=-1)]
    orthogonal = unit(least - xnp.sum(least * a, axis=-1, keepdims=True) * a)
    # Of nearly opposite vectors the sum is mostly rounding; its share along their difference is
    # known to be zero, and is the one that would turn the result away from `target`. Of nearly
    # equal ones the difference is mostly rounding, and may point anywhere.
    across = unit(a - b)
    bisector = a + b
    share = xnp.sum(bisector * across, axis=-1, keepdims=True)
    blunt = xnp.sum(a * b, axis=-1, keepdims=True) < 0
    bisector = bisector - xnp.where(blunt, share, 0) * across
    opposite = xnp.sum(bisector**2, axis=-1, keepdims=True) < 1e-10
    bisector = unit(xnp.where(opposite, orthogonal, bisector))
    # Reflecting in a and then in the bisector rotates by twice the angle between them.
    return reflect(bisector) @ reflect(a)
