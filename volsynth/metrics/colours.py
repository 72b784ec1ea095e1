"""Differences between the colours of two images, wherever they are; one value per image.

They say whether the right person was made, whatever the pose: both are scores of section 5.2.1 of
Knoche, *Volumetric Feature Transformation for Pose-Conditioned Human Image Synthesis* (2019).
Images and masks are as in `volsynth.metrics`, except that each image has a mask of its own.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from volsynth.metrics import checks
from volsynth.metrics.masks import MASK_THRESHOLD

BINS = 10
"""Number of bins of a channel's histogram, in the chi-squared distance."""

LEVELS = 255.0
"""The highest level of 8 bits: images in [-1, 1] are compared as levels in [0, 255]."""

Mask = Float[Array, "B H W"] | Bool[Array, "B H W"] | None

_PIXELS = "those of each image's own mask, where above 0.5; without masks all, background too"

PROTOCOL: Mapping[str, Mapping[str, Any]] = {
    "colour_wasserstein": {
        "better": "lower",
        "image_range": [0.0, LEVELS],
        "distance": "Wasserstein-1 of the two distributions of values, without bins",
        "channels": "mean over R, G and B, each by itself",
        "pixels": _PIXELS,
        "both_empty": 0.0,
        "one_empty": LEVELS,
    },
    "colour_chi_squared": {
        "better": "lower",
        "image_range": [0.0, LEVELS],
        "bins": BINS,
        "bin_edges": "equal widths; a value on an edge belongs to the upper bin",
        "histogram": "one per channel, joined to 30 shares with sum 1",
        "distance": "half the sum of (p - q)^2 / (p + q), in [0, 1]; bins empty in both add 0",
        "pixels": _PIXELS,
        "both_empty": 0.0,
        "one_empty": 1.0,
    },
}
"""The protocol of each score of this module: how it is computed, as JSON values."""


def colour_wasserstein(
    a: Float[Array, "B H W 3"],
    b: Float[Array, "B h w 3"],
    a_mask: Mask = None,
    b_mask: Float[Array, "B h w"] | Bool[Array, "B h w"] | None = None,
) -> Float[Array, "B"]:
    """Wasserstein distance of the values of each channel, mean over channels, in levels of 8 bits.

    Args:
      a: images in [-1, 1].
      b: images in [-1, 1]; their size may be another one.
      a_mask: the person in `a`, where above 0.5; `foreground` finds one in generated images.
      b_mask: the person in `b`.

    Returns:
      One value per image in [0, 255]; 0 where both masks are empty, 255 where only one is.

    Raises:
      ValueError: the shapes are not those of images and masks.
    """
    values_a, inside_a = _values("colour_wasserstein", a, a_mask)
    values_b, inside_b = _values("colour_wasserstein", b, b_mask)
    values = jnp.concatenate([values_a, values_b], axis=-1)
    # The distance is the area between both cumulative distributions. They are counted in integers,
    # which are exact in any order, as sums of float32 shares are not; pixels outside of a mask stay
    # in the list, so that its length is static, and count nothing.
    owner = jnp.concatenate([inside_a.astype(jnp.int32), 2 * inside_b.astype(jnp.int32)], axis=-1)
    owner = jnp.broadcast_to(owner[:, None], values.shape)
    values, owner = jax.lax.sort([values, owner], dimension=-1, num_keys=1)
    below_a, below_b = (_share(jnp.cumsum(owner == who, axis=-1)) for who in (1, 2))
    area = jnp.sum(jnp.abs(below_a - below_b)[..., :-1] * jnp.diff(values, axis=-1), axis=-1)
    return _with_empty(jnp.mean(area, axis=1), inside_a, inside_b, LEVELS)


def colour_chi_squared(
    a: Float[Array, "B H W 3"],
    b: Float[Array, "B h w 3"],
    a_mask: Mask = None,
    b_mask: Float[Array, "B h w"] | Bool[Array, "B h w"] | None = None,
) -> Float[Array, "B"]:
    """Chi-squared distance of the histograms of two images, with 10 bins for each channel.

    Args:
      a: images in [-1, 1]; values outside count in the outermost bins.
      b: images in [-1, 1]; their size may be another one.
      a_mask: the person in `a`, where above 0.5; `foreground` finds one in generated images.
      b_mask: the person in `b`.

    Returns:
      One value per image in [0, 1], 1 where no bin is shared; 0 where both masks are empty, 1 where
      only one is.

    Raises:
      ValueError: the shapes are not those of images and masks.
    """
    values_a, inside_a = _values("colour_chi_squared", a, a_mask)
    values_b, inside_b = _values("colour_chi_squared", b, b_mask)
    p, q = _histogram(values_a, inside_a), _histogram(values_b, inside_b)
    both = p + q
    # A bin that is empty in both adds 0, and not 0 / 0.
    terms = jnp.where(both > 0.0, (p - q) ** 2 / jnp.where(both > 0.0, both, 1.0), 0.0)
    return _with_empty(jnp.sum(terms, axis=(1, 2)) / 2.0, inside_a, inside_b, 1.0)


def _values(score, image, mask) -> tuple[Float[Array, "B 3 n"], Bool[Array, "B n"]]:
    """Levels in [0, 255] of every channel, 0 outside of the mask; and which pixels are inside."""
    checks.image(score, image)
    batch = image.shape[0]
    if mask is None:
        mask = jnp.ones(image.shape[:3], bool)
    checks.mask(score, image, mask)
    inside = (mask.astype(jnp.float32) > MASK_THRESHOLD).reshape(batch, -1)
    levels = (image.astype(jnp.float32) + 1.0) * (LEVELS / 2.0)
    levels = jnp.moveaxis(levels.reshape(batch, -1, 3), 2, 1)
    # Pixels outside may even be NaN, which would spoil the sort; as 0 they count nothing.
    return jnp.where(inside[:, None], levels, 0.0), inside


def _share(counts: Int[Array, "B 3 n"]) -> Float[Array, "B 3 n"]:
    total = counts[..., -1:]
    return counts.astype(jnp.float32) / jnp.maximum(total, 1).astype(jnp.float32)


def _histogram(values, inside) -> Float[Array, "B 3 bins"]:
    """Share of the values in every bin of every channel; the sum over all is 1."""
    # Some levels of 8 bits lie exactly on an edge, and float32 must not round them into the bin
    # below.
    index = jnp.floor(values * (BINS / LEVELS) + 1e-4)
    index = jnp.clip(index, 0, BINS - 1).astype(jnp.int32)
    in_bin = [
        jnp.sum((index == k) & inside[:, None], axis=-1, dtype=jnp.float32) for k in range(BINS)
    ]
    # Each pixel is counted once in each of three channels.
    total = 3.0 * jnp.sum(inside, axis=-1, dtype=jnp.float32)
    return jnp.stack(in_bin, axis=-1) / jnp.maximum(total, 1.0)[:, None, None]


def _with_empty(distance, inside_a, inside_b, largest) -> Float[Array, "B"]:
    """The distance; the largest one where only one of the images has a person, 0 where neither."""
    seen_a, seen_b = jnp.any(inside_a, axis=-1), jnp.any(inside_b, axis=-1)
    return jnp.where(seen_a & seen_b, distance, jnp.where(seen_a | seen_b, largest, 0.0))
