"""Systems that make the target's picture: scores, two baselines, and a gallery."""

import numpy as np

from volsynth import draw, metrics
from volsynth.data import pipeline
from volsynth.tasks.base import Task, spread

SCORES = ("ssim", "l1", "foreground_l1", "silhouette_iou")


def score(images, batch):
    """Every score of some images [B, H, W, 3] in [-1, 1] against the batch's targets."""
    target, mask = batch["target_image"], batch["target_mask"]
    values = {
        "ssim": metrics.ssim(images, target),
        "l1": metrics.l1(images, target),
        "foreground_l1": metrics.foreground_l1(images, target, mask),
        "silhouette_iou": metrics.silhouette_iou(images, mask),
    }
    return {name: (value, batch["valid"]) for name, value in values.items()}


def mean_training_image(split, batch_size, limit=512):
    """The mean of up to `limit` images, spread evenly over a split; [H, W, 3] in [-1, 1]."""
    numbers = spread(split, limit)
    total, count = 0.0, 0
    pairs = np.stack([numbers, numbers], axis=1)
    for batch in pipeline.evaluation_batches(split, pairs, batch_size):
        total = total + np.sum(batch["target_image"][batch["valid"]], axis=0, dtype=np.float64)
        count += int(np.sum(batch["valid"]))
    return (total / count).astype(np.float32)


def _candidates(images, mean_image, batch):
    return {
        "generated": images,
        "source_unchanged": batch["source_image"],
        "mean_training_image": np.broadcast_to(mean_image, batch["target_image"].shape),
    }


def _row(images, batch, i, cell):
    """Source, target skeleton, generated, truth."""
    joints = np.asarray(batch["target_joints"][i]) * (cell / images.shape[1])
    return [
        draw.to_uint8(batch["source_image"][i]),
        draw.skeleton_image(joints, batch["target_visible"][i], cell),
        draw.to_uint8(images[i]),
        draw.to_uint8(batch["target_image"][i]),
    ]


TASK = Task(
    label="generated",
    scores=SCORES,
    protocol=metrics.PROTOCOL,
    pairs="every image of the split once as target, source another one of the outfit",
    taken=lambda outputs: outputs["image"],
    trained=mean_training_image,
    baselines={"mean_training_image": "of up to 512 images spread over the training split"},
    candidates=_candidates,
    score=score,
    columns=("source", "target pose", "generated", "truth"),
    row=_row,
)
