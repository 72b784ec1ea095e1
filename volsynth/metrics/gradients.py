"""Sharpness of images, by their gradient; one value per image.

Images, masks and dtypes are as in `volsynth.metrics`.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth.metrics import checks
from volsynth.metrics.masks import MASK_THRESHOLD

PROTOCOL: Mapping[str, Mapping[str, Any]] = {
    "sharpness": {
        "better": "neither: as sharp as the target's",
        "image_range": [-1.0, 1.0],
        "gradient": "mean over channels of |I[y, x+1] - I[y, x]| and of |I[y+1, x] - I[y, x]|",
        "over_pixels": "mean over all neighbouring pixels, or those with both in the mask",
        "empty_mask": 0.0,
    },
}
"""The protocol of the score of this module: how it is computed, as JSON values."""


def sharpness(
    image: Float[Array, "B H W 3"],
    mask: Float[Array, "B H W"] | Bool[Array, "B H W"] | None = None,
) -> Float[Array, "B"]:
    """Mean absolute gradient over channels and pairs of neighbouring pixels, beside and below.

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
        inside = mask.astype(jnp.float32) > MASK_THRESHOLD
    # One division at the end: every pair weighs the same, however many there are in each direction.
    total, count = jnp.zeros(image.shape[:1]), jnp.zeros(image.shape[:1])
    for axis in (1, 2):
        last = image.shape[axis] - 1
        both = jax.lax.slice_in_dim(inside, 0, last, axis=axis)
        # Inside only if both pixels are: a pair across the outline is no detail of the person.
        both &= jax.lax.slice_in_dim(inside, 1, last + 1, axis=axis)
        step = jnp.mean(jnp.abs(jnp.diff(image, axis=axis)), axis=-1)
        # Selected rather than multiplied: outside of the mask values may be NaN.
        total = total + jnp.sum(jnp.where(both, step, 0.0), axis=(1, 2))
        count = count + jnp.sum(both, axis=(1, 2), dtype=jnp.float32)
    return total / jnp.maximum(count, 1.0)
