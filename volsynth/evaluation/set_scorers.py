"""Scores of a whole set of pictures, compared with the set of the true pictures.

The network that sees the pictures, and the SHA-256 of its weights, are part of the protocol.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from volsynth import metrics
from volsynth.metrics.inception_score import SPLITS
from volsynth.pretrained import feature_networks


@dataclasses.dataclass(frozen=True, eq=False)
class SetScorer:
    """Functions that compute scores of a set of pictures; such scores have no intervals.

    Attributes:
      scores: names of the scores.
      protocol: how each is computed, by name.
      start: (number of images of the set) -> an empty state.
      extract: (images [B, S, S, 3] in [-1, 1]) -> what `add` needs of them.
      add: (state, what was extracted, index of every image in its set, valid) -> the new state.
      result: (state, state of the true pictures) -> the scores.
    """

    scores: tuple[str, ...]
    protocol: Mapping[str, Mapping[str, Any]]
    start: Callable[[int], Any]
    extract: Callable[[jax.Array], Any]
    add: Callable[[Any, Any, np.ndarray, np.ndarray], Any]
    result: Callable[[Any, Any], Mapping[str, float]]


def inception(path: str, images: int) -> SetScorer:
    """A scorer of Fréchet distance and Inception score, with the Inception-v3 of a file.

    Args:
      path: file of its weights.
      images: number of images of the set; the Inception score is computed of ten parts of it, or of
        as many as it has images.

    Raises:
      UserError: the file is not what it should be.
    """
    network = feature_networks.load_inception(path)
    identity = {"network_weights": network.name}
    return _from_network(network, ("fid", "inception_score"), identity, images)


def builtin_features(images: int) -> SetScorer:
    """A scorer of the same two formulas on the built-in features, under names of their own.

    Args:
      images: number of images of the set.
    """
    names = ("frechet_builtin", "diversity_builtin")
    return _from_network(jax.jit(metrics.builtin_outputs), names, {}, images)


def _from_network(network, names, identity, total):
    frechet, classes = names
    # A split without an image has no score, so a small set has fewer of them.
    deviation, splits = f"{classes}_std", min(SPLITS, total)

    def start(images):
        # The number of features is known only from the network's first output.
        return images, None, None

    def add(state, outputs, place, valid):
        images, features, scores = state
        outputs = {key: np.asarray(value) for key, value in outputs.items()}
        if features is None:
            features = metrics.FeatureState.empty(outputs["pool"].shape[1])
            size = outputs["probabilities"].shape[1]
            scores = metrics.ClassState.empty(images, size, splits)
        features = features.update(outputs["pool"], valid)
        return images, features, scores.update(outputs["probabilities"], place, valid)

    def result(state, true_state):
        mean, spread = state[2].result()
        return {frechet: metrics.frechet(state[1], true_state[1]), classes: mean, deviation: spread}

    protocol = {name: {**metrics.DISTRIBUTION_PROTOCOL[name], **identity} for name in names}
    # The number of splits changes the score, so the protocol has the one that was used.
    protocol[classes]["splits"] = splits
    protocol[deviation] = {**protocol[classes], "better": "neither: the spread over the splits"}
    return SetScorer((*names, deviation), protocol, start, network, add, result)
