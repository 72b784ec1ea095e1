"""Scores of generated pictures and of estimated poses: one value per image, means over a data set,
scores of a whole set, and the protocol.

states = metrics.start(("ssim", "l1"))
states = metrics.update(states, {"ssim": metrics.ssim(a, b), "l1": metrics.l1(a, b)}, valid)
metrics.results(states), metrics.PROTOCOL
"""

from volsynth.metrics.accumulate import MeanState, merge, results, start, update
from volsynth.metrics.distributions import PROTOCOL as DISTRIBUTION_PROTOCOL
from volsynth.metrics.distributions import (
    ClassState,
    FeatureState,
    builtin_outputs,
    frechet,
    inception_score,
)
from volsynth.metrics.images import (
    PROTOCOL,
    foreground,
    foreground_l1,
    l1,
    silhouette_iou,
    ssim,
)
from volsynth.metrics.poses import PROTOCOL as POSE_PROTOCOL
from volsynth.metrics.poses import auc, joint_errors, mpjpe, pa_mpjpe, pck

__all__ = [
    "DISTRIBUTION_PROTOCOL",
    "POSE_PROTOCOL",
    "PROTOCOL",
    "ClassState",
    "FeatureState",
    "MeanState",
    "auc",
    "builtin_outputs",
    "foreground",
    "foreground_l1",
    "frechet",
    "inception_score",
    "joint_errors",
    "l1",
    "merge",
    "mpjpe",
    "pa_mpjpe",
    "pck",
    "results",
    "silhouette_iou",
    "ssim",
    "start",
    "update",
]
