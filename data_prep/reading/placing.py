"""Putting poses that come without a camera, or without depth, in front of a camera."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

FOCAL = 1.2
"""Focal length of a camera that is not known, as a share of the longer side of the image. It is
about that of a phone."""

PERSON_MM = 1700.0
"""The extent in mm that is given to a pose without depth, so that its distance from the camera is
one at which people are photographed."""


class Placed(NamedTuple):
    """A pose in front of a camera.

    Attributes:
      joints_mm: [J, 3] joints in camera coordinates, mm.
      intrinsics: [3, 3] intrinsics of the camera, pixels.
      flat: whether depth is not known, so that all joints lie at one depth.
    """

    joints_mm: Float[np.ndarray, "J 3"]
    intrinsics: Float[np.ndarray, "3 3"]
    flat: bool


def place(
    joints_px: Float[np.ndarray, "J 2"],
    joints_mm: Float[np.ndarray, "J 3"] | None,
    visible: Bool[np.ndarray, "J"],
    size: tuple[int, int],
    intrinsics: Float[np.ndarray, "3 3"] | None = None,
) -> Placed:
    """Puts a pose where it projects to its pixels, as nearly as it can.

    Without joints in space they lie flat, at one depth. Joints in front of the camera stay, and a
    camera that is missing is fitted. Joints around an origin of their own, as estimators give them,
    are moved in front of it by least squares.

    Args:
      joints_px: where the joints are in the image, pixels.
      joints_mm: the joints in space, along the axes of the camera, mm; None where they are not
        known.
      visible: which joints are known.
      size: height and width of the image.
      intrinsics: those of the camera; None where they are not known.
    """
    height, width = size
    focal = FOCAL * max(height, width)
    usual = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    known = usual if intrinsics is None else np.asarray(intrinsics, float)
    seen = joints_px[visible]
    if joints_mm is None:
        # At least one pixel: all joints that are seen may lie on one point.
        extent = max(np.max(np.ptp(seen, axis=0)), 1.0) if len(seen) else 1.0
        # By the mean focal length, since pixels need not be square.
        depth = (known[0, 0] + known[1, 1]) / 2 * PERSON_MM / extent
        rays = np.linalg.solve(known, np.column_stack([joints_px, np.ones(len(joints_px))]).T).T
        return Placed(depth * rays, known, True)
    # Poses around an origin of their own, such as the pelvis, have joints behind it.
    if np.all(joints_mm[visible, 2] > 0):
        if intrinsics is None:
            known = _fitted_camera(seen, joints_mm[visible], usual)
        return Placed(joints_mm, known, False)
    return Placed(joints_mm + _shift(seen, joints_mm[visible], known), known, False)


def _fitted_camera(px: np.ndarray, mm: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Fits one focal length and the principal point to joints in front of the camera.

    Where no such camera fits, the usual one is returned.
    """
    # u = f x / z + c for all joints: linear in f and c.
    rays = mm[:, :2] / mm[:, 2:]
    count = len(px)
    equations = np.zeros((2 * count, 3))
    equations[:, 0] = rays.T.reshape(-1)
    equations[:count, 1] = 1
    equations[count:, 2] = 1
    (focal, x, y), *_ = np.linalg.lstsq(equations, px.T.reshape(-1), rcond=None)
    # A negative focal length would be the fit of a mirror image, or of noise.
    return np.array([[focal, 0, x], [0, focal, y], [0, 0, 1]]) if focal > 0 else usual


def _shift(px: np.ndarray, mm: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """The translation t that moves joints to where they project to their pixels.

    It has the least error of (X + t_x) - (u - c_x) / f (Z + t_z) and the same for y: linear in t,
    where the error in pixels is not.
    """
    rays = np.linalg.solve(intrinsics, np.column_stack([px, np.ones(len(px))]).T).T[:, :2]
    count = len(px)
    equations = np.zeros((2 * count, 3))
    equations[:count, 0] = 1
    equations[count:, 1] = 1
    equations[:, 2] = -rays.T.reshape(-1)
    wanted = (rays * mm[:, 2:] - mm[:, :2]).T.reshape(-1)
    return np.linalg.lstsq(equations, wanted, rcond=None)[0]
