"""Structural similarity of the windows of two images (Wang et al. 2004).

Scores and losses share it. What differs among the programs of papers (`metrics`) is the window, the
range of values, and whether covariances are those of a sample.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

WINDOW = 11
"""Side of the window of Wang et al. 2004, in pixels."""

SIGMA = 1.5
"""Standard deviation of its Gaussian, in pixels."""

K1 = 0.01
"""The constant of the means, as a share of the range of values."""

K2 = 0.03
"""The constant of the (co)variances, as such a share."""


def weights(window: int = WINDOW, sigma: float = SIGMA) -> np.ndarray:
    """The weights of a window along one axis; both axes have the same.

    Args:
      window: side in pixels, odd.
      sigma: standard deviation of a Gaussian, in pixels; 0 for equal weights.
    """
    if not sigma:
        return np.full(window, 1.0 / window, np.float32)
    offset = np.arange(window) - window // 2
    values = np.exp(-0.5 * (offset / sigma) ** 2)
    return (values / values.sum()).astype(np.float32)


def structural_similarity(
    x: Float[Array, "b h w c"],
    y: Float[Array, "b h w c"],
    along: np.ndarray,
    sample_covariance: bool = False,
    span: Float[Array, "b 1 1 1"] | None = None,
) -> Float[Array, "b h2 w2"]:
    """The structural similarity of every window inside two images, mean over channels.

    It has a gradient everywhere, as no denominator is zero.

    Args:
      x: images in [0, 1], in float32, at least as large as the window.
      y: images of that shape.
      along: `weights` of the window along one axis.
      sample_covariance: whether (co)variances are divided by one less than the window's pixels.
      span: the range of values; None for 1.

    Returns:
      Values in [-1, 1], which stand at the windows' centres; 1 where both windows are equal.
    """
    # The constants grow with the square of the range, as in the paper.
    span = jnp.ones((), jnp.float32) if span is None else span
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
    mean_x, mean_y = filtered(x, along), filtered(y, along)
    # Variances are differences of squares, which cancel in float32. Around the middle of the range
    # the squares are smaller, so that less is lost to rounding.
    u, v = x - 0.5, y - 0.5
    mean_u, mean_v = mean_x - 0.5, mean_y - 0.5
    count = len(along) ** 2
    # From the population's (co)variance to the sample's; both have the same factor.
    scale = count / (count - 1) if sample_covariance else 1.0
    variances = filtered(u * u + v * v, along) - mean_u * mean_u - mean_v * mean_v
    covariance = filtered(u * v, along) - mean_u * mean_v
    # With C3 = C2 / 2 contrast and structure of the paper become one fraction.
    luminance = (2.0 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    structure = (2.0 * scale * covariance + c2) / (scale * variances + c2)
    return jnp.mean(luminance * structure, axis=-1)


def filtered(image: Float[Array, "b h w c"], along: np.ndarray) -> Float[Array, "b h2 w2 c"]:
    """The weighted means over the windows inside an image.

    Args:
      image: the images.
      along: weights of the window along one axis.
    """
    # Products with a banded matrix for each axis: a grouped convolution would give the same, but
    # takes tens of times as long on a CPU.
    rows, columns = (_banded(along, size) for size in image.shape[1:3])
    # Accelerators would by default multiply with 8 or 11 bits; the variances would be noise.
    highest = jax.lax.Precision.HIGHEST
    image = jnp.einsum("hH,bHWc->bhWc", rows, image, precision=highest)
    return jnp.einsum("wW,bhWc->bhwc", columns, image, precision=highest)


def _banded(along, size) -> np.ndarray:
    """A matrix whose row i has the weights of the window that begins at pixel i."""
    count = size - len(along) + 1
    banded = np.zeros((count, size), np.float32)
    for i in range(count):
        banded[i, i : i + len(along)] = along
    return banded
