"""The lengths and pixels that poses of whole bodies must come to, by the package's arithmetic."""

import numpy as np
import own_pictures

from volsynth.images import cropping
from volsynth.poses import retargeting
from volsynth.skeleton import HIPS, INDEX


def lengths(joints):
    """The lengths of all bones; joints: [..., 15, 3]."""
    joints = np.asarray(joints, float)
    joints = np.concatenate([joints, joints[..., list(HIPS), :].mean(axis=-2, keepdims=True)], -2)
    return np.stack(
        [np.linalg.norm(joints[..., b, :] - joints[..., a, :], axis=-1)
         for a, b, _ in retargeting.BONES], axis=-1,
    )  # fmt: skip


def pixel_of(joints, name="left_wrist"):
    """Row and column of a joint in the square of a pose: as `persons.fit_poses` puts it there."""
    body = retargeting.Body(np.asarray(joints, float), np.ones(15, bool), False)
    corner, extent = cropping.square_around_box(
        *retargeting.bounding_box([body], retargeting.body_size(body))
    )
    x, y = (joints[INDEX[name]][:2] - corner) * own_pictures.SIDE / extent
    return int(y), int(x)
