"""Systems that make the target's picture and, on their way, find the source's joints."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from volsynth.tasks import image

AXES = ("pose_x", "pose_y", "pose_z")
"""Mean absolute error of the joints along each axis (seed 000, section 6.2.5)."""

PROTOCOL = {
    axis: {
        "better": "lower",
        "unit": "pixels of the image, in depth too",
        "joints": "those of the source, as the pose head reads them out by soft-argmax",
        "over_joints": "mean over the visible ones",
        "baselines": "the middle of the volume; the truth's are the true ones",
    }
    for axis in AXES
}


def score(made, batch):
    """Scores of {"image": [B, H, W, 3], "pose_joints": [B, 15, 3]}: the image's, and the axes'."""
    visible = batch["source_visible"][..., None]
    error = jnp.abs(made["pose_joints"] - batch["source_joints"])
    count = jnp.sum(visible, axis=1)
    mean = jnp.sum(jnp.where(visible, error, 0), axis=1) / jnp.maximum(count, 1)
    somebody = batch["valid"] & (count[:, 0] > 0)
    scored = {axis: (mean[:, i], somebody) for i, axis in enumerate(AXES)}
    return image.score(made["image"], batch) | scored


def _candidates(made, mean_image, batch):
    # Baselines of the image know nothing of the pose: they say the middle of the volume.
    joints = batch["source_joints"]
    middle = np.full(joints.shape, joints.dtype.type(mean_image.shape[1] / 2))
    rows = image.TASK.with_baselines(made["image"], mean_image, batch)
    found = {image.TASK.label: made["pose_joints"], "truth": joints}
    found = {name: found.get(name, middle) for name in rows}
    return {name: {"image": rows[name], "pose_joints": found[name]} for name in rows}


TASK = dataclasses.replace(
    image.TASK,
    scores=(*image.SCORES, *AXES),
    protocol={**image.TASK.protocol, **PROTOCOL},
    select=lambda outputs: {key: outputs[key] for key in ("image", "pose_joints")},
    with_baselines=_candidates,
    score=score,
    gallery_row=lambda made, batch, i, cell: image.TASK.gallery_row(made["image"], batch, i, cell),
    images=lambda made: made["image"],
)
