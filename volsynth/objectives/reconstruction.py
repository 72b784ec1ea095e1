"""Reconstruction terms: distances of a generated image from its target.

They are differences of pixels, and of features of VGG-19, or of the built-in features where no
weights are given; Knoche 2019, sections 4.4 and 2.3.2.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax

from volsynth import losses
from volsynth.pretrained import feature_networks

NEAREST_LAYER = "block1_conv2"
"""The layer of VGG-19 whose features the nearest-neighbour loss compares (Siarohin et al. 2018)."""


class Weights(NamedTuple):
    """Weights of the reconstruction terms; a term of weight zero is not computed at all.

    Attributes:
      l1: weight of the mean absolute difference of pixels.
      chroma: weight of the mean absolute difference between differences of colour channels.
      structure: weight of one minus structural similarity.
      nearest_neighbour: weight of the nearest-neighbour loss.
      neighbourhood: side of the neighbourhood of that loss in pixels, odd.
      perceptual: weight of the mean absolute difference of features.
      perceptual_layers: the layers of VGG-19 whose features the perceptual term compares.
      features: file of VGG-19's weights, for both terms that compare features; empty for the
        built-in features.
    """

    l1: float = 0.0
    chroma: float = 0.0
    structure: float = 0.0
    nearest_neighbour: float = 0.0
    neighbourhood: int = 5
    perceptual: float = 0.0
    perceptual_layers: Sequence[str] = ()
    features: str = ""

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers whose features some term compares, each once."""
        layers = [NEAREST_LAYER] if self.nearest_neighbour else []
        layers += [*self.perceptual_layers] if self.perceptual else []
        return tuple(dict.fromkeys(layers))


def make_terms(
    weights: Weights,
) -> Callable[[jax.Array, jax.Array], dict[str, jax.Array]]:
    """A function (image, target) -> weighted terms by name, of images [B, H, W, 3] in [-1, 1].

    Args:
      weights: the weights of the terms.

    Raises:
      UserError: there are no such layers; later, when it is called, no such file of weights.
    """
    layers = weights.layers
    # Read when it is first needed: whoever only makes images has no need of the file.
    features = functools.cache(lambda: feature_networks.load_features(weights.features, layers))

    def compute_terms(image, target):
        terms = {}
        # One pass of the network for both terms.
        of_image, of_target = (features()(x) for x in (image, target)) if layers else ({}, {})
        if weights.nearest_neighbour:
            distance = losses.nearest_neighbour(
                of_image[NEAREST_LAYER], of_target[NEAREST_LAYER], weights.neighbourhood
            )
            terms["nearest_neighbour"] = weights.nearest_neighbour * distance
        if weights.perceptual:
            # The layer of the other term does not belong in this mean.
            chosen = [
                {layer: f[layer] for layer in weights.perceptual_layers}
                for f in (of_image, of_target)
            ]
            terms["perceptual"] = weights.perceptual * losses.perceptual(*chosen)
        if weights.l1:
            terms["l1"] = weights.l1 * losses.l1(image, target)
        if weights.chroma:
            terms["chroma"] = weights.chroma * losses.chroma(image, target)
        if weights.structure:
            terms["structure"] = weights.structure * losses.structure(image, target)
        return terms

    return compute_terms


def notes(weights: Weights) -> Mapping[str, str]:
    """Notes for logs and results, see `System.notes`: the features that a term compares, if any.

    Args:
      weights: the weights of the terms.

    Raises:
      UserError: there are no such layers, or no such file.
    """
    layers = weights.layers
    return {"features": feature_networks.features_name(weights.features, layers)} if layers else {}
