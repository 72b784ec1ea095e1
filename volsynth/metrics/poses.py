"""Scores that compare poses in 3D, one value per image.

Everywhere: joints float [B, J, 3] in millimetres, of `volsynth.skeleton`, along the axes of the
camera; `visible` bool [B, J], the joints that are compared. Both poses are first moved so that
their pelvis, the mean of the hips, lies at the origin. An image without a joint to compare gets the
best value: leave it out of a mean. Everything is computed in float32 and works under `jax.jit`.
`PROTOCOL` says the same for a reader of the numbers.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth.ops import geometry

PCK_MM = 150.0
"""The usual threshold of PCK, mm: half the size of a head (Mehta et al. 2017)."""

AUC_STEP_MM = 5.0
"""Distance in mm between two thresholds of the area under the PCK curve."""

_CURVE = {
    "better": "higher",
    "thresholds": f"0, {AUC_STEP_MM:g}, ... mm, the highest one included",
    "comparison": "error < threshold, strictly: the threshold 0 counts none",
    "over_thresholds": "unweighted mean",
    "over_joints": "mean over the visible joints",
}

PROTOCOL: Mapping[str, Mapping[str, Any]] = {
    "all": {
        "joints": "the 15 of the skeleton, in mm, along the axes of the camera",
        "root": "both poses relative to their pelvis, the mean of the hips",
        "over_images": "unweighted mean over the images with a visible joint; no padding rows",
    },
    "mpjpe": {
        "better": "lower",
        "unit": "mm",
        "error": "Euclidean distance",
        "over_joints": "mean over the visible joints",
    },
    "pa_mpjpe": {
        "better": "lower",
        "unit": "mm",
        "error": "Euclidean distance after the least-squares similarity from estimate to truth",
        "alignment": "over the visible joints: rotation, translation and scale, no reflection",
        "over_joints": "mean over the visible joints",
    },
    "pck_150": {
        "better": "higher",
        "threshold_mm": PCK_MM,
        "comparison": "error < threshold, strictly",
        "over_joints": "share of the visible joints",
    },
    "auc_150": {**_CURVE, "highest_mm": 150.0, "largest_possible": "30/31, as for MPI-INF-3DHP"},
    "auc_200": {**_CURVE, "highest_mm": 200.0, "largest_possible": "40/41"},
}
"""The protocol of each score of poses, as JSON values; "all" holds for each of them."""


def joint_errors(
    estimated: Float[Array, "B J 3"], true: Float[Array, "B J 3"]
) -> Float[Array, "B J"]:
    """Distance of every joint from the true one, mm, both poses relative to their pelvis.

    Raises:
      ValueError: the shapes differ or are not those of poses.
    """
    _check("joint_errors", estimated, true)
    estimated, true = (geometry.from_pelvis(p.astype(jnp.float32)) for p in (estimated, true))
    return jnp.sqrt(jnp.sum((estimated - true) ** 2, axis=-1))


def mpjpe(
    estimated: Float[Array, "B J 3"], true: Float[Array, "B J 3"], visible: Bool[Array, "B J"]
) -> Float[Array, "B"]:
    """Mean distance of a joint from the true one, mm.

    Raises:
      ValueError: the shapes differ or are not those of poses.
    """
    _check("mpjpe", estimated, true, visible)
    return _over_joints(joint_errors(estimated, true), visible)


def pa_mpjpe(
    estimated: Float[Array, "B J 3"], true: Float[Array, "B J 3"], visible: Bool[Array, "B J"]
) -> Float[Array, "B"]:
    """Mean distance of a joint, mm, after the similarity that brings the estimate closest.

    The similarity is a rotation, a translation and a scale. Reflections are excluded: a pose with
    left and right exchanged is wrong.

    Raises:
      ValueError: the shapes differ or are not those of poses.
    """
    _check("pa_mpjpe", estimated, true, visible)
    # The fit has no weights: in both poses an invisible joint is put at the mean of the visible
    # ones, where it changes neither the centre nor the correlation of the two.
    estimated, true = (_gathered(p.astype(jnp.float32), visible) for p in (estimated, true))
    # Estimate to truth, not the other way: the error is then in millimetres of the true pose.
    scale, rotation, offset = geometry.similarity_fit(estimated, true)
    moved = scale[:, None, None] * (estimated @ jnp.swapaxes(rotation, -1, -2)) + offset[:, None, :]
    return _over_joints(jnp.sqrt(jnp.sum((moved - true) ** 2, axis=-1)), visible)


def pck(
    estimated: Float[Array, "B J 3"],
    true: Float[Array, "B J 3"],
    visible: Bool[Array, "B J"],
    threshold: float = PCK_MM,
) -> Float[Array, "B"]:
    """Share of the joints whose error is below a threshold in mm, in [0, 1].

    Raises:
      ValueError: the shapes differ or are not those of poses.
    """
    _check("pck", estimated, true, visible)
    near = joint_errors(estimated, true) < threshold
    # One less the share of the far ones: without a visible joint the result is 1, the best value.
    return 1.0 - _over_joints(jnp.where(near, 0.0, 1.0), visible)


def auc(
    estimated: Float[Array, "B J 3"],
    true: Float[Array, "B J 3"],
    visible: Bool[Array, "B J"],
    highest: float,
) -> Float[Array, "B"]:
    """Mean of `pck` over the thresholds 0, 5, ..., `highest` mm, in [0, 1].

    A perfect pose gets n / (n + 1), as nothing is below the threshold 0.

    Raises:
      ValueError: the shapes differ or are not those of poses, or the highest threshold is not a
        positive multiple of the step.
    """
    _check("auc", estimated, true, visible)
    if highest <= 0 or highest % AUC_STEP_MM:
        raise ValueError(
            f"auc: the highest threshold must be a positive multiple of {AUC_STEP_MM:g} mm, "
            f"got {highest}."
        )
    # The highest threshold is one of them, and so is 0, below which there is no error.
    thresholds = jnp.arange(int(highest / AUC_STEP_MM) + 1, dtype=jnp.float32) * AUC_STEP_MM
    errors = joint_errors(estimated, true)
    # Not ">=": an error that is NaN is below no threshold, and must count as missed.
    missed = jnp.mean(~(errors[..., None] < thresholds[None, None, :]), axis=-1, dtype=jnp.float32)
    return 1.0 - _over_joints(missed, visible)


def _over_joints(values, visible):
    """The mean over the visible joints, 0 where there are none; others may even be NaN."""
    # Selected before the sum, as 0 * NaN is NaN.
    count = jnp.sum(visible, axis=-1, dtype=jnp.float32)
    return jnp.sum(jnp.where(visible, values, 0.0), axis=-1) / jnp.maximum(count, 1.0)


def _gathered(joints, visible):
    """The pose with its invisible joints moved to the mean of the visible ones."""
    seen = visible[..., None]
    count = jnp.maximum(jnp.sum(seen, axis=-2, keepdims=True, dtype=jnp.float32), 1.0)
    mean = jnp.sum(jnp.where(seen, joints, 0.0), axis=-2, keepdims=True) / count
    return jnp.where(seen, joints, mean)


def _check(score, estimated, true, visible=None):
    if estimated.ndim != 3 or estimated.shape[-1] != 3:
        raise ValueError(f"{score}: poses must have shape [B, J, 3], got {estimated.shape}.")
    # Broadcasting would compare one pose with a whole batch without a word.
    if estimated.shape != true.shape:
        raise ValueError(
            f"{score}: both batches must have the same shape, got {estimated.shape} and "
            f"{true.shape}."
        )
    if visible is not None and visible.shape != true.shape[:2]:
        raise ValueError(f"{score}: visible must have shape {true.shape[:2]}, got {visible.shape}.")
