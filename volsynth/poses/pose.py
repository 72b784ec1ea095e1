"""A pose in an image, and the error of files that hold none."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from volsynth.errors import UserError
from volsynth.poses import joint_orders

AXES = {"joints_px": "xy", "joints_mm": "xyz"}
"""The fields of a pose that hold joints, each with the names of its axes."""

TEXTS = ("image", "person", "outfit", "action", "camera")
"""The fields of a pose that are text."""


class KeypointError(UserError):
    """A file of poses, or one pose of it, is not what the format says."""


@dataclasses.dataclass(frozen=True)
class Pose:
    """The pose of one person in one image.

    Attributes:
      order: name of the pose's order of joints, of `joint_orders.ORDERS`.
      visible: which joints are known.
      joints_px: joints in pixels of the image; None if they are not known.
      joints_mm: joints in mm, camera coordinates; None if they are not known.
      image: path of the image, from the folder of the images; empty without one.
      person: id of the person; empty if it is not known, like the next three.
      outfit: id of the clothes, per person.
      action: what the person does.
      camera: id of the camera.
      frame: position in its sequence.
      intrinsics: the camera's matrix K, in pixels of the image; None if it is not known.
      where: file and entry that the pose is from, for messages.
    """

    order: str
    visible: Bool[np.ndarray, "J"]
    joints_px: Float[np.ndarray, "J 2"] | None = None
    joints_mm: Float[np.ndarray, "J 3"] | None = None
    image: str = ""
    person: str = ""
    outfit: str = ""
    action: str = ""
    camera: str = ""
    frame: int = 0
    intrinsics: Float[np.ndarray, "3 3"] | None = None
    where: str = ""


def to_skeleton(pose: Pose) -> Pose:
    """The same pose with our fifteen joints."""
    joints, visible = {}, pose.visible
    # Both fields tell the same joints, so whichever comes last may say which are known.
    for key in AXES:
        if (values := getattr(pose, key)) is not None:
            joints[key], visible = joint_orders.to_skeleton(values, pose.visible, pose.order)
    return dataclasses.replace(pose, order=joint_orders.VOLSYNTH_15, visible=visible, **joints)
