"""A sighting: one person in one frame, as an archive has it; what readers hand on.

Readers (one module for each data set) make sightings; `data_prep.building.preparing` crops and
masks them and converts them to records. Readers know files and their defects, preparation knows
none of them.
"""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera of an archive, X_cam = R (X_world - t).

    Attributes:
      intrinsics: K, in pixels of the frame; the centre of the top left pixel is (0.5, 0.5).
      rotation: R, from world to camera axes.
      position: t, the position of the camera in the world, mm.
      distortion: the lens: k1, k2, k3, p1, p2; zeros for none.
      model: what the five numbers mean: "none", "human36m" (cross terms of the tangential part with
        factor 1) or "brown" (factor 2, as OpenCV).
    """

    intrinsics: Float[np.ndarray, "3 3"]
    rotation: Float[np.ndarray, "3 3"]
    position: Float[np.ndarray, "3"]
    distortion: Float[np.ndarray, "5"]
    model: Literal["none", "human36m", "brown"] = "none"


@dataclasses.dataclass(frozen=True)
class Sighting:
    """One person in one frame, with everything that a record needs.

    Attributes:
      image: the frame, RGB.
      mask: where the person is; None where the archive has no masks, and whatever is not magenta is
        the person.
      joints_px: (x, y) in pixels of the frame, in the archive's order; the centre of the top left
        pixel at (0.5, 0.5).
      joints_mm: camera coordinates, x right, y down, z away from the camera.
      visible: which joints are known.
      order: name of the archive's order of joints, one of `volsynth.poses.joint_orders`.
      camera: the camera that took the frame.
      person: id of the person.
      outfit: id of the clothes among the person's outfits.
      action: what the person does.
      camera_id: id of the camera.
      frame: position of the frame in its sequence.
      where: file and frame, for messages.
    """

    image: UInt8[np.ndarray, "H W 3"]
    mask: Bool[np.ndarray, "H W"] | None
    joints_px: Float[np.ndarray, "J 2"]
    joints_mm: Float[np.ndarray, "J 3"]
    visible: Bool[np.ndarray, "J"]
    order: str
    camera: Camera
    person: str
    outfit: str
    action: str
    camera_id: str
    frame: int
    where: str
