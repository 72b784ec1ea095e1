"""Poses of files as bodies: joints with depth in one unit, which can be scaled and moved."""

import contextlib
from collections.abc import Iterator

import numpy as np

from volsynth.errors import UserError
from volsynth.ops import geometry
from volsynth.poses import keypoint_files
from volsynth.poses.keypoint_files import Pose
from volsynth.poses.retargeting import Body


@contextlib.contextmanager
def errors_naming(pose: Pose) -> Iterator[None]:
    """Puts a pose's file and entry before the message of a UserError that the block raises."""
    try:
        yield
    except UserError as error:
        if not pose.where:
            raise
        raise UserError(f"{pose.where}: {error}") from error


def to_body(pose: Pose) -> Body:
    """The pose as a body of fifteen joints.

    Joints are in pixels, with depth in the same unit where the pose has `joints_mm` as well; in mm
    if the pose has no pixels.

    Raises:
      UserError: its joints in pixels and in mm do not belong together, or none is known.
    """
    pose = keypoint_files.to_skeleton(pose)
    px, mm, visible = pose.joints_px, pose.joints_mm, pose.visible
    if visible.sum() < 2:
        raise UserError(f"{pose.where}: {visible.sum()} joints are known; 2 are needed at least.")
    if mm is None:
        return Body(np.column_stack([px, np.zeros(len(px))]).astype(float), visible, True)
    if px is None:
        return Body(np.array(mm, float), visible, _is_flat(mm, visible))
    px, mm = np.array(px, float), np.array(mm, float)
    # A joint behind the camera has no place in the picture: such mm are not of this camera.
    if pose.intrinsics is not None and np.all(mm[visible, 2] > 0):
        joints = geometry.image_pose(px, mm, visible, pose.intrinsics, 0.0)
    else:
        joints = _with_depth(px, mm, visible, pose.where)
    return Body(joints, visible, _is_flat(mm, visible))


def _with_depth(px, mm, visible, where):
    """Joints in pixels with depth in pixels, as a distant camera would see them."""
    # Without a camera, all of the person is taken to be at one distance: one scale for all joints,
    # which is the least-squares solution of px = scale * mm around the means.
    centred = mm - mm[visible].mean(axis=0)
    away = (px - px[visible].mean(axis=0))[visible]
    spread = np.sum(centred[visible, :2] ** 2)
    scale = np.sum(centred[visible, :2] * away) / max(spread, 1e-9)
    # A person cannot be mirrored in the picture.
    if scale <= 0:
        raise UserError(f"{where}: joints_px and joints_mm are of different poses.")
    return np.column_stack([px, centred[:, 2] * scale])


def _is_flat(mm, visible):
    """Whether all joints have one depth, which is how files say that depth is not known."""
    return bool(np.ptp(mm[visible, 2]) == 0)
