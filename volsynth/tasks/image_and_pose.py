"""The task of systems that generate the target image and also find the joints of the source."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from volsynth.system import Batch
from volsynth.tasks import image
from volsynth.tasks.base import ExampleScores, Prediction

AXES = ("pose_x", "pose_y", "pose_z")
"""Names of the scores of joints: the mean absolute error along each axis (Knoche 2019, section
6.2.5)."""

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
"""The protocol of the scores of joints."""


def score(prediction: Prediction, batch: Batch) -> ExampleScores:
    """Scores of generated images, as `image.score` has them, and of the joints along each axis.

    Args:
      prediction: {"image": [B, H, W, 3], "pose_joints": [B, 15, 3]}.
      batch: a batch of evaluation.
    """
    visible = batch["source_visible"][..., None]
    error = jnp.abs(prediction["pose_joints"] - batch["source_joints"])
    count = jnp.sum(visible, axis=1)
    # Without a visible joint the mean is 0 / 1, and not counted.
    mean = jnp.sum(jnp.where(visible, error, 0), axis=1) / jnp.maximum(count, 1)
    somebody = batch["valid"] & (count[:, 0] > 0)
    scored = {axis: (mean[:, i], somebody) for i, axis in enumerate(AXES)}
    return image.score(prediction["image"], batch) | scored


def _candidates(prediction, mean_image, batch):
    # Baselines of the image know nothing of the pose: they say the middle of the volume.
    joints = batch["source_joints"]
    middle = np.full(joints.shape, joints.dtype.type(mean_image.shape[1] / 2))
    images = image.TASK.with_baselines(prediction["image"], mean_image, batch)
    known = {image.TASK.label: prediction["pose_joints"], "truth": joints}
    return {
        name: {"image": rendered, "pose_joints": known.get(name, middle)}
        for name, rendered in images.items()
    }


TASK = dataclasses.replace(
    image.TASK,
    scores=(*image.SCORES, *AXES),
    protocol={**image.TASK.protocol, **PROTOCOL},
    select=lambda outputs: {key: outputs[key] for key in ("image", "pose_joints")},
    with_baselines=_candidates,
    score=score,
    gallery_row=lambda prediction, batch, i, cell: image.TASK.gallery_row(
        prediction["image"], batch, i, cell
    ),
    images=lambda prediction: prediction["image"],
)
