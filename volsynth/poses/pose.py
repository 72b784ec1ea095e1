"""A pose in an image, and what is raised where a file of poses holds none."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from volsynth.errors import UserError
from volsynth.poses import joint_orders

AXES = {"joints_px": "xy", "joints_mm": "xyz"}
"""The fields of a pose that hold joints, and their axes."""

TEXTS = ("image", "person", "outfit", "action", "camera")
"""The fields of a pose that are text."""


class KeypointError(UserError):
    """A file of poses, or one pose of it, is not what the format says."""


@dataclasses.dataclass(frozen=True)
class Pose:
    """One person in one image.

    Attributes:
      order: name of its order of joints, see `orders`.
      visible: which joints are known.
      joints_px: pixels of the image; None where they are not known.
      joints_mm: camera coordinates; None where they are not known.
      image: path of the image, from the folder of the images; empty without one.
      person: id; empty where it is not known, as the next three.
      outfit: id of the clothes, per person.
      action: what the person does.
      camera: id.
      frame: position in its sequence.
      intrinsics: K, pixels of the image; None where they are not known.
      where: file and entry, for messages.
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


def to_ours(pose: Pose) -> Pose:
    """The pose with our fifteen joints."""
    joints, visible = {}, pose.visible
    for key in AXES:
        if (values := getattr(pose, key)) is not None:
            joints[key], visible = joint_orders.to_ours(values, pose.visible, pose.order)
    return dataclasses.replace(pose, order=joint_orders.OURS, visible=visible, **joints)
