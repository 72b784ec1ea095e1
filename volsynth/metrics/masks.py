"""Masks of scores: means over the pixels of a mask, and images that are black outside of it.

Images, masks and dtypes are as in `volsynth.metrics`.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth.metrics import checks

MASK_THRESHOLD = 0.5
"""The value of a float mask above which a pixel belongs to the person, where a score needs a yes or
a no rather than a weight."""


def masked(
    image: Float[Array, "B H W 3"], mask: Float[Array, "B H W"] | Bool[Array, "B H W"]
) -> Float[Array, "B H W 3"]:
    """Images that are black, -1, outside of a mask, as published masked scores take them.

    Args:
      image: images in [-1, 1]; what is outside the mask may even be NaN.
      mask: bool, or float in [0, 1]; values between 0 and 1 darken a pixel.

    Returns:
      Images in [-1, 1].

    Raises:
      ValueError: the shapes are not those of images and masks.
    """
    checks.image("masked", image)
    checks.mask("masked", image, mask)
    weight = mask.astype(jnp.float32)[..., None]
    # Selected before it is multiplied: 0 * NaN would let pixels outside of the mask through.
    levels = jnp.where(weight > 0.0, image.astype(jnp.float32) + 1.0, 0.0)
    return levels * weight - 1.0


def has_pixels(mask: Float[Array, "B H W"] | Bool[Array, "B H W"]) -> Bool[Array, "B"]:
    """Whether each mask has a pixel at all: only then is a mean over the mask a score."""
    return jnp.any(mask.astype(jnp.float32) > 0.0, axis=(1, 2))


def mean_over(
    values: Float[Array, "B H W"], mask: Float[Array, "B H W"] | Bool[Array, "B H W"]
) -> Float[Array, "B"]:
    """Mean of the values of each image, weighted by a mask; 0 where the mask is empty.

    Args:
      values: one value per pixel; outside of the mask it may even be NaN.
      mask: bool, or float in [0, 1].
    """
    weight = mask.astype(jnp.float32)
    # Selected rather than only weighted: 0 * NaN is NaN, in the value and in its gradient.
    kept = jnp.where(weight > 0.0, values, 0.0)
    total = jnp.sum(weight, axis=(1, 2))
    return jnp.sum(kept * weight, axis=(1, 2)) / jnp.where(total > 0.0, total, 1.0)
