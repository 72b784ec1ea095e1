"""The pose of the person in a picture: found by an estimator, or guessed to be corrected."""

import dataclasses
import os

import numpy as np
from jaxtyping import Bool, UInt8

from volsynth import conventions
from volsynth.errors import UserError
from volsynth.export import exported_model, forward
from volsynth.generation.bodies import to_body
from volsynth.generation.persons import Crop
from volsynth.images import cropping
from volsynth.poses import joint_orders, pose_library, retargeting
from volsynth.poses.keypoint_files import Pose
from volsynth.skeleton import HIPS

MOST_LOOKS = 5
"""The most times that the estimator looks at one picture; before each further look, pixels of the
mask that are far from the joints found so far are dropped."""


def load_estimator(path: str | os.PathLike[str]) -> exported_model.Model:
    """Loads an exported model that finds poses.

    Raises:
      UserError: the model finds none, or `exported_model.load` raises.
    """
    model = exported_model.load(path)
    if model.task != "pose":
        raise UserError(f"{path} makes pictures and finds no poses; give an exported estimator.")
    if not forward.is_estimator(model.task, model.inputs):
        raise UserError(
            f"{path} does not find poses by looking at a picture alone: it reads "
            f"{', '.join(model.inputs)}. Give an exported estimator."
        )
    return model


def estimate_pose(
    model: exported_model.Model,
    image: UInt8[np.ndarray, "H W 3"],
    mask: Bool[np.ndarray, "H W"],
    name: str = "",
) -> Pose:
    """Finds the pose of the person in a picture: pixels of the picture, and mm from the pelvis.

    As in prepared data sets, pixels of the mask that are far from the joints are not the person.
    Joints are known only after a look at the picture, so the model looks again without these
    pixels, at most `MOST_LOOKS` times in all.

    Args:
      model: an estimator that `load_estimator` returned.
      image: the picture.
      mask: where the person is.
      name: what files of poses and messages call the picture.
    """
    for _ in range(MOST_LOOKS):
        crop = Crop(*cropping.square_around_mask(mask), model.image_size)
        cut, _ = cropping.cut_out(image, mask, crop.corner, crop.extent, crop.side)
        found = model(conventions.to_float(cut)[None])
        px = np.asarray(found["joints_px"][0], float) * crop.extent / crop.side + crop.corner
        # Specks far from the person make the square large and the person small in it: two specks of
        # 36 pixels in a picture of 320 made the error of joints 20 % of the person's height, which
        # is 3 % without them.
        near = cropping.near_joints(mask, px)
        if not near.any() or np.array_equal(near, mask):
            break
        mask = near
    # All joints count as known: the estimator places even those that the person hides.
    mm = np.asarray(found["joints_mm"][0], float)
    return Pose(joint_orders.VOLSYNTH_15, np.ones(len(px), bool), px, mm, image=name, where=name)


def hide_joints_outside(pose: Pose, size: tuple[int, int]) -> Pose:
    """The pose without the joints that lie outside of a picture of a size (height, width).

    An estimator also places joints that the picture does not show, at its edge or beyond it.
    """
    height, width = size
    inside = np.all((pose.joints_px >= 0) & (pose.joints_px <= (width, height)), axis=1)
    return dataclasses.replace(pose, visible=pose.visible & inside)


def guess_pose(mask: Bool[np.ndarray, "H W"], name: str) -> Pose:
    """A standing figure as tall as the person of a picture, for somebody to correct.

    Args:
      mask: where the person is.
      name: what files of poses and messages call the picture.

    Returns:
      joints in pixels of the picture, all of them inside it, and in mm from the pelvis.
    """
    body = to_body(pose_library.named_pose("standing"))
    low, high = retargeting.bounding_box([body], retargeting.body_size(body))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    # Heights, and not widths, tell the size: arms may be anywhere.
    scale = (rows[-1] + 1 - rows[0]) / (high[1] - low[1])
    middle = (columns[0] + columns[-1] + 1) / 2
    px = (body.joints[:, :2] - low) * scale + (0, rows[0])
    # The box includes hands and feet, which need not be as far out on both sides: joints are
    # centred by themselves.
    px[:, 0] += middle - (px[:, 0].min() + px[:, 0].max()) / 2
    mm = body.joints - body.joints[list(HIPS)].mean(axis=0)
    height, width = mask.shape
    # Nobody can take hold of a joint that is outside of the picture.
    px = np.clip(px, 0, (width, height))
    return Pose(joint_orders.VOLSYNTH_15, body.visible, px, mm, image=name, where=name)
