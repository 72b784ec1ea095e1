"""Scores that compare two pictures pixel by pixel; one value per image.

Images, masks and dtypes are as in `volsynth.metrics`.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth.metrics import checks
from volsynth.metrics.masks import masked, mean_over

PROTOCOL: Mapping[str, Mapping[str, Any]] = {
    "l1": {
        "better": "lower",
        "image_range": [-1.0, 1.0],
        "over_pixels": "mean over all pixels and channels",
    },
    "foreground_l1": {
        "better": "lower",
        "image_range": [-1.0, 1.0],
        "over_pixels": "mean over channels and the pixels of the mask, weighted by a float mask",
        "empty_mask": 0.0,
    },
    "masked_l1": {
        "better": "lower",
        "image_range": [-1.0, 1.0],
        "masking": "both images, as values in [0, 1], times the mask: black outside",
        "over_pixels": "mean over all pixels of the picture, those outside the mask too",
    },
    "l2": {
        "better": "lower",
        "image_range": [-1.0, 1.0],
        "over_pixels": "mean of squared differences over all pixels and channels; no root",
    },
    "foreground_l2": {
        "better": "lower",
        "image_range": [-1.0, 1.0],
        "over_pixels": "mean over channels and the pixels of the mask, weighted by a float mask",
        "empty_mask": 0.0,
    },
}
"""The protocol of each score of this module: how it is computed, as JSON values."""


def l1(a: Float[Array, "B H W 3"], b: Float[Array, "B H W 3"]) -> Float[Array, "B"]:
    """Mean absolute difference over pixels and channels, in units of the [-1, 1] range.

    Args:
      a: images in [-1, 1].
      b: images in [-1, 1].

    Returns:
      One value per image in [0, 2].

    Raises:
      ValueError: the shapes differ or are not those of images.
    """
    checks.pair("l1", a, b)
    return jnp.mean(channel_difference(a, b), axis=(1, 2))


def foreground_l1(
    a: Float[Array, "B H W 3"],
    b: Float[Array, "B H W 3"],
    mask: Float[Array, "B H W"] | Bool[Array, "B H W"],
) -> Float[Array, "B"]:
    """Mean absolute difference over the pixels of a mask, in units of the [-1, 1] range.

    Unlike `l1` it does not depend on how much of the picture is background.

    Args:
      a: images in [-1, 1].
      b: images in [-1, 1].
      mask: the person; a float mask in [0, 1] weighs the pixels.

    Returns:
      One value per image in [0, 2]; 0 where the mask is empty. Leave such an image out of a mean
      (`has_pixels`), or it counts as a perfect one.

    Raises:
      ValueError: the shapes differ, or are not those of images and masks.
    """
    checks.pair("foreground_l1", a, b)
    checks.mask("foreground_l1", a, mask)
    return mean_over(channel_difference(a, b), mask)


def masked_l1(
    a: Float[Array, "B H W 3"],
    b: Float[Array, "B H W 3"],
    mask: Float[Array, "B H W"] | Bool[Array, "B H W"],
) -> Float[Array, "B"]:
    """`l1` of images that were both multiplied by a mask; a mean over the whole picture.

    It falls with the size of the mask; `foreground_l1` does not.

    Args:
      a: images in [-1, 1].
      b: images in [-1, 1].
      mask: the person; bool, or float in [0, 1].

    Returns:
      One value per image in [0, 2].

    Raises:
      ValueError: the shapes differ, or are not those of images and masks.
    """
    checks.pair("masked_l1", a, b)
    return l1(masked(a, mask), masked(b, mask))


def l2(a: Float[Array, "B H W 3"], b: Float[Array, "B H W 3"]) -> Float[Array, "B"]:
    """Mean squared difference over pixels and channels, without a root.

    Args:
      a: images in [-1, 1].
      b: images in [-1, 1].

    Returns:
      One value per image in [0, 4].

    Raises:
      ValueError: the shapes differ or are not those of images.
    """
    checks.pair("l2", a, b)
    return jnp.mean(_squares(a, b), axis=(1, 2))


def foreground_l2(
    a: Float[Array, "B H W 3"],
    b: Float[Array, "B H W 3"],
    mask: Float[Array, "B H W"] | Bool[Array, "B H W"],
) -> Float[Array, "B"]:
    """Mean squared difference over the pixels of a mask.

    Args:
      a: images in [-1, 1].
      b: images in [-1, 1].
      mask: the person or a region; a float mask in [0, 1] weighs the pixels.

    Returns:
      One value per image in [0, 4]; 0 where the mask is empty. Leave such an image out of a mean
      (`has_pixels`).

    Raises:
      ValueError: the shapes differ, or are not those of images and masks.
    """
    checks.pair("foreground_l2", a, b)
    checks.mask("foreground_l2", a, mask)
    return mean_over(_squares(a, b), mask)


def channel_difference(
    a: Float[Array, "B H W 3"], b: Float[Array, "#B #H #W 3"]
) -> Float[Array, "B H W"]:
    """Absolute difference of every pixel, averaged over its channels, in [0, 2]."""
    # In float32 whatever is given: bfloat16 has three digits, fewer than an image of 8 bits.
    return jnp.mean(jnp.abs(a.astype(jnp.float32) - b.astype(jnp.float32)), axis=-1)


def _squares(a: Float[Array, "B H W 3"], b: Float[Array, "B H W 3"]) -> Float[Array, "B H W"]:
    # Float32 before the subtraction: in half precision small differences would be rounded away.
    return jnp.mean((a.astype(jnp.float32) - b.astype(jnp.float32)) ** 2, axis=-1)
