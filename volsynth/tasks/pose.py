"""The task of systems that find the target's pose: scores, a baseline, a gallery of skeletons."""

import jax.numpy as jnp
import numpy as np

from volsynth import conventions, metrics
from volsynth.data import decoding, prepared
from volsynth.images import draw
from volsynth.ops import geometry
from volsynth.skeleton import HIPS, JOINTS, NUM_JOINTS
from volsynth.system import Batch
from volsynth.tasks.base import ExampleScores, Prediction, Task, evenly_spread

SCORES = ("mpjpe", "pa_mpjpe", "pck_150", "auc_150", "auc_200")
"""Names of the scores in the table of results."""

JOINT_SCORES = tuple(f"mpjpe_{name}" for name in JOINTS)
"""Names of the scores of single joints: the error of each one alone."""

SIDE_VIEW_MM = 2200.0
"""Length in mm that the side of a picture stands for in which a pose is seen from the side."""


def score(prediction: Prediction, batch: Batch) -> ExampleScores:
    """Every score of estimated poses against the targets of their batch.

    Args:
      prediction: {"joints_mm": [B, 15, 3], relative to the pelvis}.
      batch: a batch of evaluation.
    """
    found = prediction["joints_mm"]
    true, visible = batch["target_joints_mm"], batch["target_visible"]
    values = {
        "mpjpe": metrics.mpjpe(found, true, visible),
        "pa_mpjpe": metrics.pa_mpjpe(found, true, visible),
        "pck_150": metrics.pck(found, true, visible),
        "auc_150": metrics.auc(found, true, visible, 150.0),
        "auc_200": metrics.auc(found, true, visible, 200.0),
    }
    # Without both hips the pelvis is unknown, and where joints are relative to it; only a pose that
    # is fitted to the true one has no need of it.
    rooted = batch["valid"] & jnp.all(visible[:, np.array(HIPS)], axis=1)
    somebody = batch["valid"] & jnp.any(visible, axis=1)
    scored = {
        name: (value, somebody if name == "pa_mpjpe" else rooted) for name, value in values.items()
    }
    errors = metrics.joint_errors(found, true)
    for j, name in enumerate(JOINT_SCORES):
        scored[name] = (errors[:, j], rooted & visible[:, j])
    return scored


def mean_training_pose(split: prepared.Split, batch_size: int, limit: int = 8192) -> np.ndarray:
    """The mean of up to `limit` poses that are spread evenly over a split.

    Args:
      split: the training split.
      batch_size: number of pairs in a batch of evaluation; many times as many poses are read at a
        time.
      limit: largest number of poses.

    Returns:
      [15, 3], mm from the pelvis.
    """
    total, count = np.zeros((NUM_JOINTS, 3)), np.zeros((NUM_JOINTS, 1))
    numbers = evenly_spread(split, limit)
    # Without their images records are small, so that many are read at a time.
    for start in range(0, len(numbers), 64 * batch_size):
        chosen = numbers[start : start + 64 * batch_size]
        record = decoding.read_fields(split, chosen, ("joints_mm", "visible"))
        rooted = np.all(record["visible"][:, HIPS], axis=1, keepdims=True)
        seen = (record["visible"] & rooted)[..., None]
        total += np.sum(geometry.from_pelvis(record["joints_mm"]), axis=0, where=seen)
        count += np.sum(seen, axis=0)
    # A joint that is visible nowhere is put at the pelvis.
    return (total / np.maximum(count, 1)).astype(np.float32)


def _candidates(prediction, mean_pose, batch):
    mean = np.broadcast_to(mean_pose, batch["target_joints_mm"].shape)
    return {"estimated": {"joints_mm": prediction["joints_mm"]}, "mean_pose": {"joints_mm": mean}}


def _row(prediction, batch, i, cell):
    """The row of a gallery: image, true and estimated skeleton on it, and both from the side."""
    picture, visible = conventions.to_uint8(batch["target_image"][i]), batch["target_visible"][i]
    # By a whole factor, and enlarged before it is drawn upon: lines stay sharp.
    factor = max(round(cell / picture.shape[0]), 1)
    large = picture.repeat(factor, axis=0).repeat(factor, axis=1)
    true, found = batch["target_joints_mm"][i], prediction["joints_mm"][i]
    on_true, on_found = batch["target_joints"][i], prediction["joints_px"][i]
    # An estimator has an opinion of every joint, seen or not.
    everything = np.ones_like(visible)
    return [
        picture,
        draw.overlay_skeleton(large, _with_depth(on_true[:, :2], true) * factor, visible),
        draw.overlay_skeleton(large, _with_depth(on_found, found) * factor, everything),
        draw.skeleton_image(from_the_side(true, cell), visible, cell),
        draw.skeleton_image(from_the_side(found, cell), everything, cell),
    ]


def _with_depth(joints_px, joints_mm):
    """Joints in the plane of the image with the depths of others, by which limbs are ordered."""
    return np.concatenate([joints_px, joints_mm[:, 2:]], axis=-1)


def from_the_side(joints_mm: np.ndarray, side: float) -> np.ndarray:
    """A pose as it looks from the right of the camera.

    What is far from the camera is to the right; the pelvis is in the middle of the picture.

    Args:
      joints_mm: joints [15, 3], mm from the pelvis.
      side: side of the picture, pixels.

    Returns:
      Joints [15, 3], pixels; the depth is that of the new view.
    """
    x, y, z = np.moveaxis(np.asarray(joints_mm), -1, 0)
    return np.stack([z, y, -x], axis=-1) * (side / SIDE_VIEW_MM) + side / 2


_JOINTS_PROTOCOL = {
    name: {**metrics.POSE_PROTOCOL["mpjpe"], "over_joints": "of this joint alone, where visible"}
    for name in JOINT_SCORES
}

TASK = Task(
    label="estimated",
    scores=SCORES,
    details=JOINT_SCORES,
    protocol={**metrics.POSE_PROTOCOL, **_JOINTS_PROTOCOL},
    pairs="every image of the split once",
    select=lambda outputs: {key: outputs[key] for key in ("joints_mm", "joints_px")},
    fit_baselines=mean_training_pose,
    baselines={"mean_pose": "of up to 8192 poses spread over the training split"},
    with_baselines=_candidates,
    score=score,
    gallery_titles=(
        "picture",
        "true pose",
        "estimated",
        "true, from the side",
        "estimated, from the side",
    ),
    gallery_row=_row,
    sorted_by="mpjpe",
    keep_unpaired=True,
)
