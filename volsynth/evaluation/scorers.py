"""Further scores of single pictures, beside those of a task: by networks, detectors, estimators.

A scorer is given the pictures and the batch and gives one value per image. The network that it
uses, and the SHA-256 of its weights, are part of its protocol.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from volsynth import metrics
from volsynth.metrics import structural_similarity
from volsynth.ops import occlusion
from volsynth.pretrained import detectors, lpips_networks
from volsynth.system import Batch
from volsynth.tasks import pose
from volsynth.tasks.base import ExampleScores


@dataclasses.dataclass(frozen=True, eq=False)
class ImageScorer:
    """A function that computes scores of pictures, one value per image.

    Attributes:
      scores: names of the scores.
      protocol: how each is computed, by name.
      measure: (images [B, S, S, 3] in [-1, 1], batch) -> the scores; compiles what it needs.
      shown: whether the scores are in the table of results, rather than among its details.
    """

    scores: tuple[str, ...]
    protocol: Mapping[str, Mapping[str, Any]]
    measure: Callable[[jax.Array, Batch], ExampleScores]
    shown: bool = True


def published_ssim(side: int) -> ImageScorer | None:
    """A scorer of SSIM as other papers' programs compute it.

    Args:
      side: side of the images in pixels; protocols whose window is larger are left out.

    Returns:
      None where no window fits.
    """
    names = tuple(
        name for name in metrics.PUBLISHED_SSIM if structural_similarity.window_of(name) <= side
    )

    @jax.jit
    def measure(images, batch):
        return {
            name: (metrics.ssim_as(name, images, batch["target_image"]), batch["valid"])
            for name in names
        }

    protocol = {name: metrics.IMAGE_PROTOCOL[name] for name in names}
    return ImageScorer(names, protocol, measure, shown=False) if names else None


POSE_SCORES = {
    "pose_auc_200": "auc_200",
    "pose_auc_150": "auc_150",
    "pose_mpjpe": "mpjpe",
    "pose_pa_mpjpe": "pa_mpjpe",
}
"""Names of the scores of poses found in pictures, and of the scores of poses that they are."""


def pose_estimator(
    estimate: Callable[[Batch], Mapping[str, jax.Array]], identity: Mapping[str, Any]
) -> ImageScorer:
    """A scorer of whether a generated person has the pose asked for (Knoche 2019, section 5.2.2).

    Args:
      estimate: (batch) -> "joints_mm" [B, 15, 3] of the person in "target_image".
      identity: what identifies the estimator in the protocol, JSON values.
    """
    # The same function as the pose task's: a row "truth" is the estimator's own evaluation.
    score = jax.jit(pose.score)

    def measure(images, batch):
        # An estimator looks at "target_image", so the generated picture takes the true one's place.
        found = estimate({**batch, "target_image": images})
        scored = score({"joints_mm": found["joints_mm"]}, batch)
        return {name: scored[plain] for name, plain in POSE_SCORES.items()}

    common = {**metrics.POSE_PROTOCOL["all"], "estimator": dict(identity)}
    protocol = {
        name: {**common, **metrics.POSE_PROTOCOL[plain]} for name, plain in POSE_SCORES.items()
    }
    return ImageScorer(tuple(POSE_SCORES), protocol, measure)


def occlusion_state() -> ImageScorer:
    """A scorer of whether the part in front is shown where parts overlap.

    It is for data sets with part labels: batches need `target_parts`.
    """
    name = "occlusion_accuracy"

    @jax.jit
    def measure(images, batch):
        target, labels = batch["target_image"], batch["target_parts"]
        overlap = occlusion.overlapping_parts(
            batch["target_joints"], batch["target_visible"], batch["target_mask"]
        )
        # Decided by the true image alone, so that every method is scored on the same images.
        seen = metrics.has_pixels(metrics.occlusion_decidable(target, labels, overlap))
        value = metrics.occlusion_accuracy(images, target, labels, overlap)
        return {name: (value, batch["valid"] & seen)}

    return ImageScorer((name,), {name: metrics.IMAGE_PROTOCOL[name]}, measure)


def detector(path: str, options: detectors.Options) -> ImageScorer:
    """A scorer of how sure a user's detector is of a person.

    Args:
      path: an ONNX file.
      options: settings that the file does not tell.

    Raises:
      UserError: the file is not what it should be.
    """
    network = detectors.load(path, options)

    def measure(images, batch):
        # Outside of jit: ONNX Runtime takes NumPy arrays.
        value = metrics.detection_score(network, images)
        return {"detection_score": (value, jnp.asarray(batch["valid"]))}

    entry = metrics.detection_protocol(network)
    return ImageScorer(("detection_score",), {"detection_score": entry}, measure)


def lpips(path: str, network: str) -> ImageScorer:
    """A scorer of LPIPS with the weights of a file.

    Args:
      path: a file that `volsynth weights convert --kind lpips-...` wrote.
      network: "alex" or "vgg".

    Raises:
      UserError: the file is not what it should be.
    """
    loaded = lpips_networks.load(path, network)
    name = f"lpips_{network}"

    # The weights are an argument: as constants they would become part of the program, which takes
    # long to compile.
    @jax.jit
    def distance(parameters, images, target):
        return dataclasses.replace(loaded, parameters=parameters)(images, target)

    def measure(images, batch):
        value = distance(loaded.parameters, images, batch["target_image"])
        return {name: (value, jnp.asarray(batch["valid"]))}

    entry = {**metrics.IMAGE_PROTOCOL[name], "weights": loaded.name}
    return ImageScorer((name,), {name: entry}, measure)
