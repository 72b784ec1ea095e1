"""Scores of generated pictures, of whole sets of them, and of estimated poses.

Scores of images give one value per image, [B]. Everywhere: images are float [B, H, W, 3], RGB in
[-1, 1], the background magenta (1, -1, 1); masks are [B, H, W], float in [0, 1] or bool. Values are
neither clipped nor rounded to 8 bits before they are scored. Everything is computed in float32
whatever the dtype given, and works under `jax.jit`, unless a module says otherwise. The protocols
say the same for a reader of the numbers: two numbers may be compared only where their entries are
equal.

    metrics.ssim(generated, target), metrics.IMAGE_PROTOCOL["ssim"]
"""

from volsynth.metrics import (
    colours,
    detection,
    differences,
    fid,
    gradients,
    inception_score,
    occlusion_states,
    perceptual,
    set_features,
    silhouettes,
    structural_similarity,
)
from volsynth.metrics.colours import colour_chi_squared, colour_wasserstein
from volsynth.metrics.detection import detection_protocol, detection_score
from volsynth.metrics.differences import foreground_l1, foreground_l2, l1, l2, masked_l1
from volsynth.metrics.fid import FeatureState, frechet
from volsynth.metrics.gradients import sharpness
from volsynth.metrics.inception_score import ClassState
from volsynth.metrics.masks import has_pixels, masked
from volsynth.metrics.occlusion_states import occlusion_accuracy, occlusion_decidable
from volsynth.metrics.perceptual import lpips
from volsynth.metrics.poses import PROTOCOL as POSE_PROTOCOL
from volsynth.metrics.poses import auc, joint_errors, mpjpe, pa_mpjpe, pck
from volsynth.metrics.set_features import builtin_outputs
from volsynth.metrics.silhouettes import foreground, silhouette_iou
from volsynth.metrics.structural_similarity import PUBLISHED as PUBLISHED_SSIM
from volsynth.metrics.structural_similarity import (
    foreground_ssim,
    has_window,
    masked_ssim,
    ssim,
    ssim_as,
)

# No module may be called like a function that is imported above: the name would be one or the other
# by the order of imports. So `sharpness` is in `gradients`, and `lpips` in `perceptual`.

IMAGE_PROTOCOL = {
    "all": {
        "images": "RGB, as float32, neither clipped nor quantised, at the size they were made",
        "over_images": "unweighted mean over the valid images; padding rows are left out",
    },
    **differences.PROTOCOL,
    **silhouettes.PROTOCOL,
    **gradients.PROTOCOL,
    **structural_similarity.PROTOCOL,
    **colours.PROTOCOL,
    **perceptual.PROTOCOL,
    **occlusion_states.PROTOCOL,
    **detection.PROTOCOL,
}
"""The protocols of all scores of images, as JSON values; "all" holds for each of them."""

DISTRIBUTION_PROTOCOL = {**set_features.PROTOCOL, **fid.PROTOCOL, **inception_score.PROTOCOL}
"""The protocols of all scores of a whole set, as JSON values; "all" holds for each of them."""

__all__ = [
    "DISTRIBUTION_PROTOCOL",
    "IMAGE_PROTOCOL",
    "POSE_PROTOCOL",
    "PUBLISHED_SSIM",
    "ClassState",
    "FeatureState",
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
    "joint_errors",
    "l1",
    "l2",
    "lpips",
    "masked",
    "masked_l1",
    "masked_ssim",
    "mpjpe",
    "occlusion_accuracy",
    "occlusion_decidable",
    "pa_mpjpe",
    "pck",
    "sharpness",
    "silhouette_iou",
    "ssim",
    "ssim_as",
]
