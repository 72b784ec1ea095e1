"""Checks of the shapes of images and masks, with error lines that name the score."""

import numpy as np
from jaxtyping import Array


def image(score: str, images: Array | np.ndarray) -> None:
    """Raises ValueError unless the shape is that of RGB images, [B, H, W, 3]."""
    if images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"{score}: images must have shape [B, H, W, 3], got {images.shape}.")


def pair(score: str, a: Array, b: Array) -> None:
    """Raises ValueError unless both arguments are batches of images of one shape."""
    image(score, a)
    # Broadcasting would compare one image with a whole batch without a word.
    if a.shape != b.shape:
        raise ValueError(
            f"{score}: both batches must have the same shape, got {a.shape} and {b.shape}."
        )


def mask(score: str, images: Array, masks: Array) -> None:
    """Raises ValueError unless the masks are [B, H, W] of these images."""
    if masks.shape != images.shape[:3]:
        raise ValueError(
            f"{score}: masks of images {images.shape} must have shape {images.shape[:3]}, "
            f"got {masks.shape}."
        )
