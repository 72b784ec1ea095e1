"""Scores of generated pictures and of estimated poses: one value per image, means over a data set,
scores of a whole set, and the protocol.

states = metrics.start(("ssim", "l1"))
states = metrics.update(states, {"ssim": metrics.ssim(a, b), "l1": metrics.l1(a, b)}, valid)
metrics.results(states), metrics.IMAGE_PROTOCOL
"""

from volsynth.metrics import (
    colours,
    detection,
    images,
    occlusion_states,
    perceptual,
    pixels,
    structural_similarity,
)
from volsynth.metrics.accumulate import MeanState, merge, results, start, update
from volsynth.metrics.colours import colour_chi_squared, colour_wasserstein
from volsynth.metrics.detection import detection_protocol, detection_score
from volsynth.metrics.fid import PROTOCOL as DISTRIBUTION_PROTOCOL
from volsynth.metrics.fid import ClassState, FeatureState, builtin_outputs, frechet, inception_score
from volsynth.metrics.images import foreground, foreground_l1, l1, silhouette_iou
from volsynth.metrics.occlusion_states import occlusion_accuracy, occlusion_decidable
from volsynth.metrics.perceptual import lpips
from volsynth.metrics.pixels import (
    foreground_l2,
    has_pixels,
    l2,
    masked,
    masked_l1,
    sharpness,
    sharpness_ratio,
)
from volsynth.metrics.poses import PROTOCOL as POSE_PROTOCOL
from volsynth.metrics.poses import auc, joint_errors, mpjpe, pa_mpjpe, pck
from volsynth.metrics.structural_similarity import PUBLISHED as PUBLISHED_SSIM
from volsynth.metrics.structural_similarity import (
    foreground_ssim,
    has_window,
    masked_ssim,
    ssim,
    ssim_as,
)

IMAGE_PROTOCOL = {
    **images.PROTOCOL,
    **pixels.PROTOCOL,
    **structural_similarity.PROTOCOL,
    **colours.PROTOCOL,
    **perceptual.PROTOCOL,
    **occlusion_states.PROTOCOL,
    **detection.PROTOCOL,
}
"""How every score of images is computed."""

__all__ = [
    "DISTRIBUTION_PROTOCOL",
    "IMAGE_PROTOCOL",
    "POSE_PROTOCOL",
    "PUBLISHED_SSIM",
    "ClassState",
    "FeatureState",
    "MeanState",
    "auc",
    "builtin_outputs",
    "colour_chi_squared",
    "colour_wasserstein",
    "detection_protocol",
    "detection_score",
    "foreground",
    "foreground_l1",
    "foreground_l2",
    "foreground_ssim",
    "frechet",
    "has_pixels",
    "has_window",
    "inception_score",
    "joint_errors",
    "l1",
    "l2",
    "lpips",
    "masked",
    "masked_l1",
    "masked_ssim",
    "merge",
    "mpjpe",
    "occlusion_accuracy",
    "occlusion_decidable",
    "pa_mpjpe",
    "pck",
    "results",
    "sharpness",
    "sharpness_ratio",
    "silhouette_iou",
    "ssim",
    "ssim_as",
    "start",
    "update",
]
