"""The task of systems that generate the target image: scores, baselines, and a gallery."""

import jax
import jax.numpy as jnp
import numpy as np

from volsynth import conventions, metrics
from volsynth.data import pipeline, prepared
from volsynth.images import draw
from volsynth.ops import occlusion
from volsynth.skeleton import HIPS, SHOULDERS
from volsynth.system import Batch
from volsynth.tasks.base import ExampleScores, Task, evenly_spread

REGION_PREFIX = "occluded_"
"""Beginning of the names of scores in the region where a person hides parts of itself."""

SCORES = (
    "ssim",
    "l1",
    "foreground_l1",
    "silhouette_iou",
    "colour_wasserstein",
    "occluded_ssim",
    "occluded_l1",
)
"""Names of the scores in the table of results."""

DETAILS = (
    "l2",
    "masked_ssim",
    "masked_l1",
    "foreground_ssim",
    "foreground_l2",
    "colour_chi_squared",
    "sharpness",
    "occluded_l2",
    "occluded_colour_wasserstein",
    "occluded_colour_chi_squared",
    "occluded_sharpness",
)
"""Names of the scores that are in the results, but not in the table."""

_REGION = {
    "region": "the person's pixels onto which two parts or more project, by the target's joints",
    "half_width": occlusion.WIDTH,
    "junction": occlusion.JUNCTION,
    "over_images": "unweighted mean over the images that have a region",
}

_COLOURS = {"masks": "of both images what is not background, by `foreground`"}

_WITH_WINDOW = "unweighted mean over the images with the centre of a window in the mask"
_WITH_PERSON = "unweighted mean over the images with a mask that is not empty"


def _protocol():
    """The protocol of every score: that of its metric, with the masks and images it is over."""
    of_metrics = metrics.IMAGE_PROTOCOL
    entries = {"all": of_metrics["all"]}
    for name in (*SCORES, *DETAILS):
        region = name.startswith(REGION_PREFIX)
        plain = name.removeprefix(REGION_PREFIX)
        # The region takes the place of the person's mask in the same metric.
        if region and f"foreground_{plain}" in of_metrics:
            plain = f"foreground_{plain}"
        if name == "occluded_ssim":
            over = {**_REGION, "over_images": _WITH_WINDOW}
        elif name.startswith("foreground_"):
            over = {"over_images": _WITH_WINDOW if name.endswith("ssim") else _WITH_PERSON}
        else:
            over = _REGION if region else {}
        colours = _COLOURS if plain.startswith("colour") and not region else {}
        entries[name] = {**of_metrics[plain], **colours, **over}
    return entries


def score(images: jax.Array, batch: Batch) -> ExampleScores:
    """Every score of generated images against the targets of their batch.

    Args:
      images: generated images [B, H, W, 3] in [-1, 1].
      batch: a batch of evaluation.
    """
    target, mask = batch["target_image"], batch["target_mask"]
    region = occlusion.self_occluded(batch["target_joints"], batch["target_visible"], mask)
    # A generated image has no mask: its person is what differs from the background. For colours the
    # target's person is found in the same way, so that both sides err alike.
    people = metrics.foreground(images), metrics.foreground(target)
    values = {
        "ssim": metrics.ssim(images, target),
        "l1": metrics.l1(images, target),
        "l2": metrics.l2(images, target),
        "masked_ssim": metrics.masked_ssim(images, target, mask),
        "masked_l1": metrics.masked_l1(images, target, mask),
        "silhouette_iou": metrics.silhouette_iou(images, mask),
        "colour_wasserstein": metrics.colour_wasserstein(images, target, *people),
        "colour_chi_squared": metrics.colour_chi_squared(images, target, *people),
        "sharpness": metrics.sharpness(images),
    }
    scored = {name: (value, batch["valid"]) for name, value in values.items()}
    for prefix, where in (("foreground_", mask), (REGION_PREFIX, region)):
        # A mean over no pixels is no score: such examples are left out, not counted as 0.
        seen = batch["valid"] & metrics.has_pixels(where)
        windows = batch["valid"] & metrics.has_window(where)
        scored |= {
            f"{prefix}ssim": (metrics.foreground_ssim(images, target, where), windows),
            f"{prefix}l1": (metrics.foreground_l1(images, target, where), seen),
            f"{prefix}l2": (metrics.foreground_l2(images, target, where), seen),
        }
    colours = {
        "colour_wasserstein": metrics.colour_wasserstein(images, target, region, region),
        "colour_chi_squared": metrics.colour_chi_squared(images, target, region, region),
        "sharpness": metrics.sharpness(images, region),
    }
    return scored | {f"{REGION_PREFIX}{name}": (value, seen) for name, value in colours.items()}


def facts(batch: Batch) -> dict[str, jax.Array]:
    """The angle by which a body turns from source to target, and the share of itself that it hides.

    Args:
      batch: a batch of evaluation.

    Returns:
      "turn_degrees" [B]: the angle about the vertical axis of the camera between the lines from the
      left shoulder and hip to the right ones, in [0, 180]; "occluded_share" [B]: the share of the
      person in the self-occluded region.
    """
    mask = batch["target_mask"]
    region = occlusion.self_occluded(batch["target_joints"], batch["target_visible"], mask)
    person = jnp.maximum(jnp.sum(mask, axis=(1, 2)), 1)
    turn = _heading(batch["target_joints_mm"]) - _heading(batch["source_joints_mm"])
    # The difference of two angles, brought into [-pi, pi).
    turn = jnp.abs(jnp.mod(turn + jnp.pi, 2 * jnp.pi) - jnp.pi)
    return {
        "turn_degrees": jnp.rad2deg(turn),
        "occluded_share": jnp.sum(region, axis=(1, 2)) / person,
    }


def _heading(joints_mm):
    """The direction from left to right of a body, seen from above, radians [B]."""
    (right_shoulder, left_shoulder), (right_hip, left_hip) = SHOULDERS, HIPS

    axis = joints_mm[:, right_shoulder] - joints_mm[:, left_shoulder]
    axis += joints_mm[:, right_hip] - joints_mm[:, left_hip]
    return jnp.arctan2(axis[:, 2], axis[:, 0])


def mean_training_image(split: prepared.Split, batch_size: int, limit: int = 512) -> np.ndarray:
    """The mean of up to `limit` images that are spread evenly over a split.

    Args:
      split: the training split.
      batch_size: number of images that are decoded at a time.
      limit: largest number of images.

    Returns:
      [H, W, 3] in [-1, 1].
    """
    numbers = evenly_spread(split, limit)
    total, count = 0.0, 0
    # Every image as its own source: batches are of pairs.
    pairs = np.stack([numbers, numbers], axis=1)
    for batch in pipeline.evaluation_batches(split, pairs, batch_size):
        # float64: a float32 sum of hundreds of images loses digits.
        total = total + np.sum(batch["target_image"][batch["valid"]], axis=0, dtype=np.float64)
        count += int(np.sum(batch["valid"]))
    return (total / count).astype(np.float32)


def _candidates(images, mean_image, batch):
    return {
        "generated": images,
        "source_unchanged": batch["source_image"],
        "mean_training_image": np.broadcast_to(mean_image, batch["target_image"].shape),
        "truth": batch["target_image"],
    }


def _row(images, batch, i, cell):
    """The row of a gallery: source, target skeleton, generated image, truth."""
    joints = np.asarray(batch["target_joints"][i]) * (cell / images.shape[1])
    return [
        conventions.to_uint8(batch["source_image"][i]),
        draw.skeleton_image(joints, batch["target_visible"][i], cell),
        conventions.to_uint8(images[i]),
        conventions.to_uint8(batch["target_image"][i]),
    ]


TASK = Task(
    label="generated",
    scores=SCORES,
    details=DETAILS,
    protocol=_protocol(),
    pairs="every image of the split once as target, source another one of the outfit; images "
    "without one are left out",
    select=lambda outputs: outputs["image"],
    fit_baselines=mean_training_image,
    baselines={
        "mean_training_image": "of up to 512 images spread over the training split",
        "truth": "the target itself: what a perfect method would get",
    },
    with_baselines=_candidates,
    score=score,
    gallery_titles=("source", "target pose", "generated", "truth"),
    gallery_row=_row,
    sorted_by="foreground_l1",
    facts=facts,
    images=lambda images: images,
)
