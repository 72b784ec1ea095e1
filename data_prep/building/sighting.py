"""What a reader of an archive hands on: one person in one frame, as the archive has it.

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
    """A camera, X_cam = R (X_world - t).

    Attributes:
      intrinsics: K, pixels of the frame; centre of the top left pixel at (0.5, 0.5).
      rotation: R.
      position: t, mm.
      distortion: k1, k2, k3, p1, p2; zero without a lens.
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
    """One person in one frame.

    Attributes:
      image: RGB.
      mask: the person; None where the archive has none (whatever is not magenta, then).
      joints_px: (x, y) in pixels of the frame, in the archive's order; the centre of the top left
        pixel at (0.5, 0.5).
      joints_mm: camera coordinates, x right, y down, z away from the camera.
      visible: which joints are known.
      order: name of the archive's order of joints, of `volsynth.orders`.
      camera: that took the frame.
      person: id.
      outfit: id of the clothes, per person.
      action: what the person does.
      camera_id: of the camera.
      frame: position in its sequence.
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
