"""The silhouette of the person in a generated picture, and how well it fits the true one.

Images, masks and dtypes are as in `volsynth.metrics`.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth.conventions import BACKGROUND
from volsynth.metrics import checks
from volsynth.metrics.differences import channel_difference
from volsynth.metrics.masks import MASK_THRESHOLD

FOREGROUND_THRESHOLD = 0.3
"""The mean absolute difference from magenta above which a pixel is foreground, of at most 2.

It is above what blurred or noisy magenta reaches and below any clothes or skin. A pixel half
background and half person, as on every anti-aliased outline, mostly counts as person.
"""

PROTOCOL: Mapping[str, Mapping[str, Any]] = {
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
"""The protocol of the score of this module: how it is computed, as JSON values."""


def foreground(
    image: Float[Array, "B H W 3"], threshold: float = FOREGROUND_THRESHOLD
) -> Bool[Array, "B H W"]:
    """Masks of the pixels of images that are not background.

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
    # Four axes, so that callers who forbid the promotion of ranks can use it.
    background = jnp.asarray(BACKGROUND, jnp.float32).reshape(1, 1, 1, 3)
    return channel_difference(image, background) > threshold


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
    # As float32: the division would promote integers, which callers may forbid.
    intersection = jnp.sum(seen & true, axis=(1, 2), dtype=jnp.float32)
    union = jnp.sum(seen | true, axis=(1, 2), dtype=jnp.float32)
    # The inner maximum keeps 0 / 0 out of the branch that `where` does not take.
    return jnp.where(union > 0.0, intersection / jnp.maximum(union, 1.0), 1.0)
