"""Scores of generated pictures: one value per image, means over a data set, and the protocol.

states = metrics.start(("ssim", "l1"))
states = metrics.update(states, {"ssim": metrics.ssim(a, b), "l1": metrics.l1(a, b)}, valid)
metrics.results(states), metrics.PROTOCOL
"""

from volsynth.metrics.accumulate import MeanState, merge, results, start, update
from volsynth.metrics.images import (
    PROTOCOL,
    foreground,
    foreground_l1,
    l1,
    silhouette_iou,
    ssim,
)

__all__ = [
    "PROTOCOL",
    "MeanState",
    "foreground",
    "foreground_l1",
    "l1",
    "merge",
    "results",
    "silhouette_iou",
    "ssim",
    "start",
    "update",
]
