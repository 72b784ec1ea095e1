"""Scores that compare pictures pixel by pixel, one value per image.

Everywhere: images float [B, H, W, 3], RGB in [-1, 1], the background magenta (1, -1, 1); masks
[B, H, W], float or bool, the person where above 0.5. Values are neither clipped nor rounded to 8
bits before they are scored. Everything is computed in float32 whatever the dtype given, and works
under `jax.jit`. `PROTOCOL` says the same for a reader of the numbers.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth.conventions import BACKGROUND
from volsynth.metrics import checks

FOREGROUND_THRESHOLD = 0.3
"""Of a largest possible 2: above what blurred or noisy magenta reaches, below any clothes or skin.

A pixel half background and half person, as on every anti-aliased outline, mostly counts as person.
"""

MASK_THRESHOLD = 0.5

PROTOCOL: Mapping[str, Mapping[str, Any]] = {
    "all": {
        "images": "RGB, as float32, neither clipped nor quantised, at the size they were made",
        "over_images": "unweighted mean over the valid images; padding rows are left out",
    },
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
    "silhouette_iou": {
        "better": "higher",
        "image_range": [-1.0, 1.0],
        "background": list(BACKGROUND),
        "foreground": "mean absolute channel difference from the background above the threshold",
        "threshold": FOREGROUND_THRESHOLD,
        "mask_threshold": MASK_THRESHOLD,
        "empty_union": 1.0,
    },
}
"""How each score is computed, as plain JSON values; printed with every score.

Two numbers may be compared only where their entries are equal. Key "all" holds for every score.
"""


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
    return jnp.mean(_channel_difference(a, b), axis=(1, 2))


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
      One value per image in [0, 2]; 0 where the mask is empty. Mark such an image as not valid
      when averaging, or it counts as a perfect one.

    Raises:
      ValueError: the shapes differ, or are not those of images and masks.
    """
    checks.pair("foreground_l1", a, b)
    checks.mask("foreground_l1", a, mask)
    weight = mask.astype(jnp.float32)
    # Chosen with `where` rather than by weight 0, so that what lies outside may even be NaN.
    difference = jnp.where(weight > 0.0, _channel_difference(a, b), 0.0)
    total = jnp.sum(weight, axis=(1, 2))
    safe_total = jnp.where(total > 0.0, total, 1.0)
    return jnp.sum(difference * weight, axis=(1, 2)) / safe_total


def foreground(
    image: Float[Array, "B H W 3"], threshold: float = FOREGROUND_THRESHOLD
) -> Bool[Array, "B H W"]:
    """Which pixels are not background.

    Args:
      image: images in [-1, 1].
      threshold: a pixel is foreground where the mean over its channels of the absolute difference
        from magenta, a value in [0, 2], is above this.

    Returns:
      True on the person.

    Raises:
      ValueError: the shape is not that of images, or the threshold is not in [0, 2).
    """
    checks.image("foreground", image)
    if not 0.0 <= threshold < 2.0:
        raise ValueError(f"foreground: the threshold must lie in [0, 2), got {threshold}.")
    background = jnp.asarray(BACKGROUND, jnp.float32).reshape(1, 1, 1, 3)
    return _channel_difference(image, background) > threshold


def silhouette_iou(
    image: Float[Array, "B H W 3"], mask: Float[Array, "B H W"] | Bool[Array, "B H W"]
) -> Float[Array, "B"]:
    """Intersection over union of an image's `foreground` and a mask.

    Args:
      image: images in [-1, 1].
      mask: the true silhouette; the person where above 0.5.

    Returns:
      One value per image in [0, 1]; 1 where both silhouettes are empty, since they agree.

    Raises:
      ValueError: the shapes are not those of images and masks.
    """
    checks.image("silhouette_iou", image)
    checks.mask("silhouette_iou", image, mask)
    seen = foreground(image)
    true = mask.astype(jnp.float32) > MASK_THRESHOLD
    intersection = jnp.sum(seen & true, axis=(1, 2), dtype=jnp.float32)
    union = jnp.sum(seen | true, axis=(1, 2), dtype=jnp.float32)
    return jnp.where(union > 0.0, intersection / jnp.maximum(union, 1.0), 1.0)


def _channel_difference(
    a: Float[Array, "B H W 3"], b: Float[Array, "#B #H #W 3"]
) -> Float[Array, "B H W"]:
    return jnp.mean(jnp.abs(a.astype(jnp.float32) - b.astype(jnp.float32)), axis=-1)
