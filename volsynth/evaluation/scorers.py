"""Scores that look at pictures through something more than a formula: networks, other people's
programs, the whole set at once.

An instrument is given the pictures and the batch and gives one value per image; an instrument of
sets gathers a state and compares it with that of the true pictures. What it is made of, and the
SHA-256 of its weights, is part of its protocol.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volsynth import metrics
from volsynth.metrics import structural_similarity
from volsynth.metrics.fid import SPLITS
from volsynth.ops import occlusion
from volsynth.pretrained import detectors, feature_networks, lpips_networks
from volsynth.system import Batch
from volsynth.tasks import pose
from volsynth.tasks.base import ExampleScores


@dataclasses.dataclass(frozen=True, eq=False)
class Instrument:
    """One value per image.

    Attributes:
      scores: names; those in the table of results if `shown`, else among the details.
      protocol: how each is computed, by name.
      measure: (images [B, S, S, 3] in [-1, 1], batch) -> the scores; compiles what it needs.
      shown: whether the scores are in the table.
    """

    scores: tuple[str, ...]
    protocol: Mapping[str, Mapping[str, Any]]
    measure: Callable[[jax.Array, Batch], ExampleScores]
    shown: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class SetInstrument:
    """Values of a whole set of pictures; they have no intervals.

    Attributes:
      scores: names.
      protocol: how each is computed, by name.
      start: (number of images of the set) -> an empty state.
      look: (images) -> what `add` needs of them.
      add: (state, what was seen, place of every image in its set, valid) -> the new state.
      result: (state, state of the true pictures) -> the scores.
    """

    scores: tuple[str, ...]
    protocol: Mapping[str, Mapping[str, Any]]
    start: Callable[[int], Any]
    look: Callable[[jax.Array], Any]
    add: Callable[[Any, Any, np.ndarray, np.ndarray], Any]
    result: Callable[[Any, Any], Mapping[str, float]]


def published_ssim(side: int) -> Instrument | None:
    """SSIM as other papers' programs compute it, as far as their windows fit into an image."""
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
    return Instrument(names, protocol, measure, shown=False) if names else None


POSE_SCORES = {
    "pose_auc_200": "auc_200",
    "pose_auc_150": "auc_150",
    "pose_mpjpe": "mpjpe",
    "pose_pa_mpjpe": "pa_mpjpe",
}
"""Names of the scores of poses found in pictures, and what they are of poses."""


def pose_estimator(
    estimate: Callable[[Batch], Mapping[str, jax.Array]], identity: Mapping[str, Any]
) -> Instrument:
    """Whether a generated person has the pose asked for, by an estimator (seed 000, 5.2.2).

    Args:
      estimate: a batch to "joints_mm" [B, 15, 3] of the person in "target_image".
      identity: of the estimator, for the protocol: JSON values.
    """
    score = jax.jit(pose.score)

    def measure(images, batch):
        found = estimate({**batch, "target_image": images})
        scored = score({"joints_mm": found["joints_mm"]}, batch)
        return {name: scored[plain] for name, plain in POSE_SCORES.items()}

    common = {**metrics.POSE_PROTOCOL["all"], "estimator": dict(identity)}
    protocol = {
        name: {**common, **metrics.POSE_PROTOCOL[plain]} for name, plain in POSE_SCORES.items()
    }
    return Instrument(tuple(POSE_SCORES), protocol, measure)


def occlusion_state() -> Instrument:
    """Whether the part in front is shown where parts overlap; for data sets with part labels.

    Batches need `target_parts`.
    """
    name = "occlusion_accuracy"

    @jax.jit
    def measure(images, batch):
        target, labels = batch["target_image"], batch["target_parts"]
        overlap = occlusion.overlapping_parts(
            batch["target_joints"], batch["target_visible"], batch["target_mask"]
        )
        seen = metrics.has_pixels(metrics.occlusion_decidable(target, labels, overlap))
        value = metrics.occlusion_accuracy(images, target, labels, overlap)
        return {name: (value, batch["valid"] & seen)}

    return Instrument((name,), {name: metrics.IMAGE_PROTOCOL[name]}, measure)


def detector(path: str, options: detectors.Options) -> Instrument:
    """How sure a user's detector is of a person.

    Args:
      path: an ONNX file.
      options: what it does not tell.

    Raises:
      UserError: the file is not what it should be.
    """
    network = detectors.load(path, options)

    def measure(images, batch):
        value = metrics.detection_score(network, images)
        return {"detection_score": (value, jnp.asarray(batch["valid"]))}

    entry = metrics.detection_protocol(network)
    return Instrument(("detection_score",), {"detection_score": entry}, measure)


def lpips(path: str, network: str) -> Instrument:
    """LPIPS with the weights of a file.

    Args:
      path: of `volsynth weights convert --kind lpips-...`.
      network: "alex" or "vgg".

    Raises:
      UserError: the file is not what it should be.
    """
    loaded = lpips_networks.load(path, network)
    name = f"lpips_{network}"

    # Weights are an argument: as constants they would be compiled with it, slowly.
    @jax.jit
    def distance(parameters, images, target):
        return dataclasses.replace(loaded, parameters=parameters)(images, target)

    def measure(images, batch):
        value = distance(loaded.parameters, images, batch["target_image"])
        return {name: (value, jnp.asarray(batch["valid"]))}

    entry = {**metrics.IMAGE_PROTOCOL[name], "weights": loaded.name}
    return Instrument((name,), {name: entry}, measure)


def inception(path: str, images: int) -> SetInstrument:
    """Fréchet distance to the true pictures and Inception score, with Inception-v3 of a file.

    Args:
      path: of its weights.
      images: of the set; the score is computed of ten parts of it, or as many as it has images.

    Raises:
      UserError: the file is not what it should be.
    """
    network = feature_networks.load_inception(path)
    identity = {"network_weights": network.name}
    return _of_set(network, ("fid", "inception_score"), identity, images)


def builtin_features(images: int) -> SetInstrument:
    """The same on the built-in features, under names of their own."""
    names = ("frechet_builtin", "diversity_builtin")
    return _of_set(jax.jit(metrics.builtin_outputs), names, {}, images)


def _of_set(outputs, names, identity, total):
    frechet, classes = names
    deviation, splits = f"{classes}_std", min(SPLITS, total)

    def start(images):
        # How many features there are shows with the first batch.
        return images, None, None

    def add(state, seen, place, valid):
        images, features, scores = state
        seen = {key: np.asarray(value) for key, value in seen.items()}
        if features is None:
            features = metrics.FeatureState.empty(seen["pool"].shape[1])
            scores = metrics.ClassState.empty(images, seen["probabilities"].shape[1], splits)
        features = features.update(seen["pool"], valid)
        return images, features, scores.update(seen["probabilities"], place, valid)

    def result(state, truth):
        mean, spread = state[2].result()
        return {frechet: metrics.frechet(state[1], truth[1]), classes: mean, deviation: spread}

    protocol = {name: {**metrics.DISTRIBUTION_PROTOCOL[name], **identity} for name in names}
    protocol[classes]["splits"] = splits
    protocol[deviation] = {**protocol[classes], "better": "neither: the spread over the splits"}
    return SetInstrument((*names, deviation), protocol, start, outputs, add, result)
