"""Turning a sighting into a record: crop, mask, resize, convert joints (Knoche 2019, section 4.1).

The person is cut out with a small margin, on magenta, so that data sets with different backgrounds
can be mixed; the intrinsics follow the crop, so that joints still project to where one sees them.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from data_prep.building import cameras
from data_prep.building.sighting import Sighting
from data_prep.errors import SightingError
from volsynth import skeleton
from volsynth.data import schema
from volsynth.errors import UserError
from volsynth.images import cropping, masks
from volsynth.poses import joint_orders

MIN_PERSON_PIXELS = 16
"""The smallest size of a person in the frame, in pixels of the larger side; a smaller one cannot be
made out."""

MAX_REPROJECTION_ERROR = 0.1
"""The largest median distance between joints in the frame and the projections of their positions in
space, as a share of the person's extent. Beyond it, poses and images do not belong together."""

OPTIONAL_FIELDS = ("order", "original_px", "original_mm", "original_visible", "camera_model")
"""The optional fields of the schema that prepared records have."""


def prepare(sighting: Sighting, side: int) -> dict[str, Any]:
    """Makes the record of a sighting; images are not encoded yet, and the schema is checked.

    Args:
      sighting: one person in one frame.
      side: side of the square image in pixels.

    Raises:
      SightingError: the sighting's arrays do not fit together or hold values that are not finite,
        the mask is empty, joints lie outside of the frame or behind the camera, or the person is
        tiny.
    """
    where = sighting.where
    px, mm, visible = _joints(sighting)
    mask = _mask(sighting, px[visible])
    corner, extent = cropping.square_around_mask(mask, px[visible])
    # The square has a margin on each side; the person is what lies between.
    if (size := extent * (1 - 2 * cropping.MARGIN)) < MIN_PERSON_PIXELS:
        raise SightingError(
            where, f"the person is {size:.0f} pixels large, {MIN_PERSON_PIXELS} are needed"
        )
    image, mask = cropping.cut_out(sighting.image, mask, corner, extent, side)
    scale = side / extent
    camera = sighting.camera
    seen = np.asarray(sighting.visible, bool)
    record = {
        "image": image,
        "mask": mask[..., None].astype(np.uint8),
        # Unknown joints are zero in every data set, so that no stray number can be learnt from.
        "joints_px": np.where(visible[:, None], (px - corner) * scale, 0).astype(np.float32),
        "joints_mm": mm.astype(np.float32),
        "visible": visible,
        "camera_rotation": np.asarray(camera.rotation, np.float32),
        "camera_position": np.asarray(camera.position, np.float32),
        "camera_intrinsics": cameras.crop(camera.intrinsics, corner, scale).astype(np.float32),
        "camera_distortion": np.asarray(camera.distortion, np.float32),
        "camera_model": camera.model,
        "person": sighting.person,
        "outfit": sighting.outfit,
        "action": sighting.action,
        "camera": sighting.camera_id,
        "frame": np.int64(sighting.frame),
        "order": sighting.order,
        # Scores that others publish are over the joints of the archive, so these are kept too.
        "original_px": _known((sighting.joints_px - corner) * scale, seen),
        "original_mm": _known(sighting.joints_mm, seen),
        "original_visible": seen,
    }
    try:
        # Checked here, where one record can still be left out, and not by its readers.
        schema.validate(record, where)
    except schema.RecordError as error:
        # The schema has put the place in front already.
        raise SightingError(where, str(error).removeprefix(f"{where}: ")) from error
    return record


def select_by_movement(
    joints_mm: Float[np.ndarray, "N J 3"], threshold_mm: float = 100.0
) -> Int[np.ndarray, "K"]:
    """Numbers of the frames in which a person has moved.

    These are the first frame, and each frame in which some joint is at least `threshold_mm` away
    from where it was in the last frame that was selected.

    Args:
      joints_mm: joints of all frames, mm.
      threshold_mm: how far a joint must have moved.
    """
    kept: list[int] = []
    for number, pose in enumerate(joints_mm):
        if not kept or np.any(np.linalg.norm(pose - joints_mm[kept[-1]], axis=-1) >= threshold_mm):
            kept.append(number)
    return np.array(kept, int)


def _known(joints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Joints as float32, zero where they are not known."""
    return np.where(visible[:, None], joints, 0).astype(np.float32)


def _joints(sighting: Sighting) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Our joints in pixels of the frame, in mm, and which are known; all of it checked."""
    where, seen = sighting.where, np.asarray(sighting.visible, bool)
    try:
        # What is not known may be anything, and must not reach a mean.
        px, visible = joint_orders.to_skeleton(
            _zeroed(sighting.joints_px, seen), seen, sighting.order
        )
        mm, _ = joint_orders.to_skeleton(_zeroed(sighting.joints_mm, seen), seen, sighting.order)
    except UserError as error:
        raise SightingError(where, str(error)) from error
    if not (np.all(np.isfinite(px)) and np.all(np.isfinite(mm))):
        raise SightingError(where, "a joint that is visible has no finite position")
    for name in ("intrinsics", "rotation", "position", "distortion"):
        if not np.all(np.isfinite(getattr(sighting.camera, name))):
            raise SightingError(where, f"the camera's {name} are not finite")
    # One point has no extent, and would be cut out in a square of side zero.
    if visible.sum() < 2:
        raise SightingError(where, f"{visible.sum()} joints are visible, 2 are needed")
    # Means in space and in a picture differ by the perspective; ours must project to themselves.
    mean = visible & ~np.isin(skeleton.JOINTS, joint_orders.find_order(sighting.order).joints)
    if np.any(mm[visible, 2] <= 0):
        raise SightingError(where, "joints lie behind the camera")
    px[mean] = cameras.project(mm[mean], sighting.camera)
    height, width = sighting.image.shape[:2]
    outside = visible & ~np.all((px >= 0) & (px <= (width, height)), axis=1)
    if outside.any():
        at = int(np.flatnonzero(outside)[0])
        raise SightingError(
            where,
            f"{outside.sum()} joints lie outside of the frame of {width} x {height} pixels, such "
            f"as the {skeleton.JOINTS[at]} at ({px[at, 0]:.0f}, {px[at, 1]:.0f})",
        )
    extent = np.max(np.ptp(px[visible], axis=0))
    apart = np.median(
        np.linalg.norm(cameras.project(mm[visible], sighting.camera) - px[visible], axis=1)
    )
    if apart > MAX_REPROJECTION_ERROR * extent:
        raise SightingError(
            where,
            f"joints lie {apart:.0f} pixels from where their positions in space project to: image "
            "and pose do not belong together",
        )
    return px, mm, visible


def _zeroed(joints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Joints as float64, zero where they are not known."""
    joints = np.asarray(joints, float)
    # Arrays that do not fit are left alone: the conversion of joint orders has the better error.
    fits = visible.shape == joints.shape[:1]
    return np.where(visible[:, None], joints, 0) if fits else joints


def _mask(sighting: Sighting, px: np.ndarray) -> Bool[np.ndarray, "H W"]:
    """The person's mask in the frame.

    What lies far from all joints is somebody or something else, and left out of it.
    """
    image, where = sighting.image, sighting.where
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise SightingError(where, f"the image is {image.dtype} {image.shape}, not RGB in uint8")
    mask = masks.not_magenta(image) if sighting.mask is None else sighting.mask
    if mask.shape != image.shape[:2]:
        raise SightingError(where, f"the mask is {mask.shape}, the image {image.shape[:2]}")
    kept = cropping.near_joints(mask, px)
    if not kept.any():
        what = "holds nothing near the joints" if np.any(mask) else "is empty"
        raise SightingError(where, f"the mask {what}")
    return kept
