"""Whether a picture shows the part that is in front, where parts of a person hide one another.

The score is for data sets whose records store the part that each pixel shows. A generated picture
has no such labels, so its parts are read from its colours: where parts overlap, the true image says
what colour each of them has, and the nearest of these colours says which one was drawn. Images are
as in `volsynth.metrics`; the parts at a pixel are those of `volsynth.ops.occlusion`.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt8

from volsynth import skeleton
from volsynth.metrics import checks
from volsynth.metrics.masks import mean_over
from volsynth.ops import occlusion

COLOUR_MARGIN = 0.3
"""The smallest difference of colour distances by which the true image tells two parts apart.

A pixel of the true image must be nearer to its own part's colour than to a rival's by more than
this. Clothes have patterns, sleeves end, and light falls on one side: only where the colours of the
true image itself say the right part can those of another image say anything.
"""

LEAST_PIXELS = 5
"""The number of pixels of a part that the true image must show for its colour to be known.

Fewer are mostly mixed with the colours beside them.
"""

PROTOCOL: Mapping[str, Mapping[str, Any]] = {
    "occlusion_accuracy": {
        "better": "higher",
        "image_range": [-1.0, 1.0],
        "source": "our own; not the occlusion state accuracy of Wu et al. 2021, which needs HMR",
        "pixels": "of the true mask, where the silhouettes of two parts or more overlap",
        "half_width": occlusion.WIDTH,
        "junction": occlusion.JUNCTION,
        "colour_of_a_part": "mean over the pixels of the true image that show it",
        "least_pixels": LEAST_PIXELS,
        "colour_distance": "Euclidean, of RGB",
        "rivals": "parts at the pixel whose colour is farther from the true image's pixel than"
        " that of its own part, by more than the margin",
        "margin": COLOUR_MARGIN,
        "right": "the colour of the true part is nearer than that of every rival",
        "over_pixels": "share of those with a rival, whose true part is one of the overlap",
        "over_images": "those with such a pixel",
        "no_pixels": 0.0,
    },
}
"""The protocol of the score of this module: how it is computed, as JSON values."""


def occlusion_accuracy(
    generated: Float[Array, "B H W 3"],
    target: Float[Array, "B H W 3"],
    labels: UInt8[Array, "B H W"],
    overlap: Bool[Array, "B P H W"],
) -> Float[Array, "B"]:
    """Share of the decidable pixels whose colour is that of the part that truly is in front.

    Args:
      generated: images in [-1, 1].
      target: the true images in [-1, 1].
      labels: of the true images: 0 background, else 1 + index in `skeleton.PARTS`.
      overlap: `ops.occlusion.overlapping_parts` of the target's pose and mask.

    Returns:
      One value per image in [0, 1]; 0 where no pixel is decidable. Leave such an image out of a
      mean, by `has_pixels(occlusion_decidable(...))`.

    Raises:
      ValueError: the shapes differ, or are not those of images, labels and overlaps.
    """
    checks.pair("occlusion_accuracy", generated, target)
    _check("occlusion_accuracy", target, labels, overlap)
    means, rivals = _means_and_rivals(target, labels, overlap)
    distances = _distances(generated, means)
    own = jnp.take_along_axis(distances, _part(labels), axis=-1)
    # A pixel without rivals has none at a finite distance and is "right"; the mean leaves it out.
    nearest = jnp.min(jnp.where(rivals, distances, jnp.inf), axis=-1)
    right = (own[..., 0] < nearest).astype(jnp.float32)
    return mean_over(right, jnp.any(rivals, axis=-1))


def occlusion_decidable(
    target: Float[Array, "B H W 3"],
    labels: UInt8[Array, "B H W"],
    overlap: Bool[Array, "B P H W"],
) -> Bool[Array, "B H W"]:
    """The pixels over which `occlusion_accuracy` is a mean; they depend on the true image alone.

    Raises:
      ValueError: the shapes are not those of images, labels and overlaps.
    """
    checks.image("occlusion_decidable", target)
    _check("occlusion_decidable", target, labels, overlap)
    return jnp.any(_means_and_rivals(target, labels, overlap)[1], axis=-1)


def _means_and_rivals(target, labels, overlap):
    """Colours of the parts [B, P, 3], and the rivals of each pixel's true part [B, H, W, P].

    A pixel whose true part is no part of the overlap has no rivals.
    """
    # Labels count parts from 1. The same dtype on both sides, as callers may forbid promotion.
    shown = labels[:, None] == jnp.arange(1, skeleton.NUM_PARTS + 1, dtype=jnp.uint8).reshape(
        1, -1, 1, 1
    )
    count = jnp.sum(shown, axis=(2, 3), dtype=jnp.float32)
    # Selected rather than multiplied by the mask: other pixels may even be NaN, and 0 * NaN is NaN.
    values = jnp.where(shown[..., None], target.astype(jnp.float32)[:, None], 0.0)
    means = jnp.sum(values, axis=(2, 3)) / jnp.maximum(count, 1.0)[..., None]
    distances = _distances(target, means)
    own = jnp.take_along_axis(distances, _part(labels), axis=-1)
    # The true image itself must say clearly whose colour a pixel has: two legs in one pair of
    # trousers cannot be told apart in any picture.
    rivals = distances - own > COLOUR_MARGIN
    rivals &= jnp.moveaxis(overlap, 1, -1) & (count >= LEAST_PIXELS)[:, None, None]
    return means, rivals & jnp.any(shown & overlap, axis=1)[..., None]


def _distances(image, means) -> Float[Array, "B H W P"]:
    offsets = image.astype(jnp.float32)[..., None, :] - means[:, None, None]
    return jnp.sqrt(jnp.sum(offsets**2, axis=-1))


def _part(labels):
    """Index of the part that each pixel shows, [B, H, W, 1]."""
    # Background pixels get part 0; their value is never used, as they have no rivals.
    return jnp.maximum(labels, 1).astype(jnp.int32)[..., None] - 1


def _check(score, images, labels, overlap):
    if labels.shape != images.shape[:3]:
        raise ValueError(
            f"{score}: labels of images {images.shape} must have shape {images.shape[:3]}, "
            f"got {labels.shape}."
        )
    wanted = (images.shape[0], skeleton.NUM_PARTS, *images.shape[1:3])
    if overlap.shape != wanted:
        raise ValueError(
            f"{score}: overlaps of images {images.shape} must have shape {wanted}, "
            f"got {overlap.shape}."
        )
