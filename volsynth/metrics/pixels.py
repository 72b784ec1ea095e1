"""Squared differences, scores of masked images, and how sharp images are; one value per image.

Images, masks and dtypes are as in `volsynth.metrics.images`.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth.metrics import checks, images

_GRADIENT = "mean over channels of |I[y, x+1] - I[y, x]| and of |I[y+1, x] - I[y, x]|"

PROTOCOL: Mapping[str, Mapping[str, Any]] = {
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
    "masked_l1": {
        "better": "lower",
        "image_range": [-1.0, 1.0],
        "masking": "both images, as values in [0, 1], times the mask: black outside",
        "over_pixels": "mean over all pixels of the picture, those outside the mask too",
    },
    "sharpness": {
        "better": "neither: as sharp as the target's",
        "image_range": [-1.0, 1.0],
        "gradient": _GRADIENT,
        "over_pixels": "mean over all neighbouring pixels, or those with both in the mask",
        "empty_mask": 0.0,
    },
    "sharpness_ratio": {
        "better": "closer to 1",
        "image_range": [-1.0, 1.0],
        "gradient": _GRADIENT,
        "over_pixels": "mean over all neighbouring pixels, or those with both in the mask",
        "ratio": "of the generated image's by the target's, image by image",
        "both_flat": 1.0,
    },
}
"""How each score is computed, as plain JSON values; "all" of `images.PROTOCOL` holds here, too."""


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
      One value per image in [0, 4]; 0 where the mask is empty: mark such an image as not valid
      (`has_pixels`).

    Raises:
      ValueError: the shapes differ, or are not those of images and masks.
    """
    checks.pair("foreground_l2", a, b)
    checks.mask("foreground_l2", a, mask)
    return mean_over(_squares(a, b), mask)


def masked(
    image: Float[Array, "B H W 3"], mask: Float[Array, "B H W"] | Bool[Array, "B H W"]
) -> Float[Array, "B H W 3"]:
    """Images times a mask, as published masked scores have it: black, -1, outside.

    Args:
      image: images in [-1, 1]; what is outside the mask may even be NaN.
      mask: bool, or float in [0, 1].

    Raises:
      ValueError: the shapes are not those of images and masks.
    """
    checks.image("masked", image)
    checks.mask("masked", image, mask)
    weight = mask.astype(jnp.float32)[..., None]
    levels = jnp.where(weight > 0.0, image.astype(jnp.float32) + 1.0, 0.0)
    return levels * weight - 1.0


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
    return images.l1(masked(a, mask), masked(b, mask))


def has_pixels(mask: Float[Array, "B H W"] | Bool[Array, "B H W"]) -> Bool[Array, "B"]:
    """Which masks are not empty: where a mean over the mask is a score."""
    return jnp.any(mask.astype(jnp.float32) > 0.0, axis=(1, 2))


def mean_over(
    values: Float[Array, "B H W"], mask: Float[Array, "B H W"] | Bool[Array, "B H W"]
) -> Float[Array, "B"]:
    """Mean of values, weighted by a mask; 0 where it is empty. Outside values may even be NaN."""
    weight = mask.astype(jnp.float32)
    kept = jnp.where(weight > 0.0, values, 0.0)
    total = jnp.sum(weight, axis=(1, 2))
    return jnp.sum(kept * weight, axis=(1, 2)) / jnp.where(total > 0.0, total, 1.0)


def sharpness(
    image: Float[Array, "B H W 3"],
    mask: Float[Array, "B H W"] | Bool[Array, "B H W"] | None = None,
) -> Float[Array, "B"]:
    """Mean absolute gradient: over pairs of neighbouring pixels, beside and below, and channels.

    Every pair counts once, whichever way it lies. With a mask only pairs with both pixels in it
    count, so that the outline against the background does not.

    Args:
      image: images in [-1, 1].
      mask: the person, where above 0.5.

    Returns:
      One value per image in [0, 2]; 0 where there is no pair.

    Raises:
      ValueError: the shapes are not those of images and masks.
    """
    checks.image("sharpness", image)
    image = image.astype(jnp.float32)
    if mask is None:
        inside = jnp.ones(image.shape[:3], bool)
    else:
        checks.mask("sharpness", image, mask)
        inside = mask.astype(jnp.float32) > images.MASK_THRESHOLD
    total, count = jnp.zeros(image.shape[:1]), jnp.zeros(image.shape[:1])
    for axis in (1, 2):
        last = image.shape[axis] - 1
        both = jax.lax.slice_in_dim(inside, 0, last, axis=axis)
        both &= jax.lax.slice_in_dim(inside, 1, last + 1, axis=axis)
        step = jnp.mean(jnp.abs(jnp.diff(image, axis=axis)), axis=-1)
        total = total + jnp.sum(jnp.where(both, step, 0.0), axis=(1, 2))
        count = count + jnp.sum(both, axis=(1, 2), dtype=jnp.float32)
    return total / jnp.maximum(count, 1.0)


def sharpness_ratio(
    generated: Float[Array, "B H W 3"],
    target: Float[Array, "B H W 3"],
    mask: Float[Array, "B H W"] | Bool[Array, "B H W"] | None = None,
) -> Float[Array, "B"]:
    """`sharpness` of an image by that of its target: below 1 is blurred, above 1 is noisy.

    Args:
      generated: images in [-1, 1].
      target: images in [-1, 1].
      mask: for both; the person, where above 0.5.

    Returns:
      One value per image, at least 0; 1 where both are flat, infinite where only the target is.

    Raises:
      ValueError: the shapes differ, or are not those of images and masks.
    """
    checks.pair("sharpness_ratio", generated, target)
    above, below = sharpness(generated, mask), sharpness(target, mask)
    ratio = above / jnp.where(below > 0.0, below, 1.0)
    return jnp.where(below > 0.0, ratio, jnp.where(above > 0.0, jnp.inf, 1.0))


def _squares(a: Float[Array, "B H W 3"], b: Float[Array, "B H W 3"]) -> Float[Array, "B H W"]:
    return jnp.mean((a.astype(jnp.float32) - b.astype(jnp.float32)) ** 2, axis=-1)
