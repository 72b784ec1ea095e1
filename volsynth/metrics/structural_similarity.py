"""Structural similarity (SSIM): ours, that of other papers' programs, and over a mask.

One value per image. The window, the range that the constants are taken of, and white borders put
back on before the score change its value by more than what separates one method from another.
Numbers of papers may be compared only with those of their own protocol. Images, masks and dtypes
are as in `volsynth.metrics`; files of 8 bits give what the original programs gave for them, images
that were never rounded something very close.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth.errors import did_you_mean
from volsynth.metrics import checks
from volsynth.metrics.masks import has_pixels, masked, mean_over
from volsynth.ops import windows

LEAST_RANGE = 1.0 / 255.0
"""The smallest range of values that a protocol with a measured range uses: one level of 8 bits.

The range of a flat image is 0, and would make the constants 0 and the score 0 / 0.
"""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings on which a value of SSIM depends.

    Attributes:
      window: side of the window in pixels, odd.
      sigma: standard deviation of a Gaussian window, in pixels; 0 for a uniform window.
      sample_covariance: whether (co)variances are divided by one less than the window's pixels.
      measured_range: whether the constants are taken of the largest minus the smallest value of the
        generated image, over all pixels and channels, instead of the whole range.
      white_columns: width in pixels of the white put left and right of both images beforehand.
      source: the paper or program that computes it so.
    """

    window: int
    sigma: float
    sample_covariance: bool
    measured_range: bool
    white_columns: int
    source: str


_OURS = Settings(windows.WINDOW, windows.SIGMA, False, False, 0, "Wang et al. 2004")

_PUBLISHED: Mapping[str, Settings] = {
    "ssim_pose_gan": Settings(11, 1.5, False, True, 0, "Siarohin et al. 2018, pose-gan"),
    "ssim_patn": Settings(11, 1.5, False, True, 40, "Zhu et al. 2019, PATN, on DeepFashion"),
    "ssim_gfla": Settings(51, 0.0, True, False, 0, "Ren et al. 2020, GFLA, 'ssim'"),
    "ssim_256": Settings(
        11, 1.5, False, True, 0, "Ren et al. 2020, GFLA, 'ssim_256': values up to 255, any size"
    ),
}

PUBLISHED = tuple(_PUBLISHED)
"""Names of the published protocols that `ssim_as` knows."""


def _stated(settings: Settings) -> dict[str, Any]:
    return {
        "better": "higher",
        "source": settings.source,
        "window": settings.window,
        "window_shape": "gaussian" if settings.sigma else "uniform",
        **({"sigma": settings.sigma} if settings.sigma else {}),
        "k1": windows.K1,
        "k2": windows.K2,
        "sample_covariance": settings.sample_covariance,
        "data_range": (
            "largest minus smallest value of the generated image, at least one level of 8 bits"
            if settings.measured_range
            else "all of [0, 1]"
        ),
        "white_columns_on_each_side": settings.white_columns,
        "border": "only windows that lie inside the image",
        "channels": "mean over R, G and B",
    }


PROTOCOL: Mapping[str, Mapping[str, Any]] = {
    "ssim": _stated(_OURS),
    **{name: _stated(settings) for name, settings in _PUBLISHED.items()},
    "masked_ssim": {
        **_stated(_OURS),
        "masking": "both images, as values in [0, 1], times the mask: black outside",
    },
    "foreground_ssim": {
        **_stated(_OURS),
        "over_windows": "mean over those whose centre is in the mask, weighted by a float mask",
        "empty_mask": 0.0,
    },
}
"""The protocol of each score of this module: how it is computed, as JSON values."""


def ssim(a: Float[Array, "B H W 3"], b: Float[Array, "B H W 3"]) -> Float[Array, "B"]:
    """Structural similarity (Wang et al. 2004) of images mapped to [0, 1].

    Args:
      a: images in [-1, 1].
      b: images in [-1, 1].

    Returns:
      One value per image in [-1, 1]; 1 where the two images are equal.

    Raises:
      ValueError: the shapes differ, are not those of images, or an image is smaller than the
        11-pixel window.
    """
    checks.pair("ssim", a, b)
    return jnp.mean(_similarity("ssim", a, b, _OURS), axis=(1, 2))


def window_of(name: str) -> int:
    """Height and width of the window of a protocol: an image must not be smaller.

    Raises:
      ValueError: there is no such protocol.
    """
    return _settings("window_of", name).window


def _settings(caller, name):
    if name not in _PUBLISHED:
        raise ValueError(f"{caller}: no protocol {name!r}; {did_you_mean(name, _PUBLISHED)}")
    return _PUBLISHED[name]


def ssim_as(
    name: str,
    generated: Float[Array, "B H W 3"],
    target: Float[Array, "B H W 3"],
    mask: Float[Array, "B H W"] | Bool[Array, "B H W"] | None = None,
) -> Float[Array, "B"]:
    """Structural similarity as a paper's program computes it.

    Args:
      name: name of the protocol, one of `PUBLISHED`.
      generated: images in [-1, 1]; some protocols take their range from these.
      target: images in [-1, 1].
      mask: where given, both images are first multiplied by it (`masked`), as for a masked SSIM.

    Returns:
      One value per image in [-1, 1]; 1 where the two images are equal.

    Raises:
      ValueError: there is no such protocol, the shapes differ or are not those of images, or an
        image is smaller than the window.
    """
    settings = _settings("ssim_as", name)
    checks.pair(name, generated, target)
    if mask is not None:
        generated, target = masked(generated, mask), masked(target, mask)
    return jnp.mean(_similarity(name, generated, target, settings), axis=(1, 2))


def masked_ssim(
    a: Float[Array, "B H W 3"],
    b: Float[Array, "B H W 3"],
    mask: Float[Array, "B H W"] | Bool[Array, "B H W"],
) -> Float[Array, "B"]:
    """`ssim` of images that were both multiplied by a mask.

    Windows in which both images are black are equal, so a small person gets a high value: compare
    only values of the same masks. `foreground_ssim` leaves those windows out.

    Args:
      a: images in [-1, 1].
      b: images in [-1, 1].
      mask: the person; bool, or float in [0, 1].

    Returns:
      One value per image in [-1, 1].

    Raises:
      ValueError: the shapes differ, are not those of images and masks, or an image is smaller than
        the window.
    """
    checks.pair("masked_ssim", a, b)
    return ssim(masked(a, mask), masked(b, mask))


def foreground_ssim(
    a: Float[Array, "B H W 3"],
    b: Float[Array, "B H W 3"],
    mask: Float[Array, "B H W"] | Bool[Array, "B H W"],
) -> Float[Array, "B"]:
    """Mean of `ssim` over the windows whose centre lies in a mask.

    Args:
      a: images in [-1, 1].
      b: images in [-1, 1].
      mask: the person or a region; a float mask in [0, 1] weighs the windows.

    Returns:
      One value per image in [-1, 1]; 0 where no centre is in the mask. Leave such an image out of
      a mean (`has_window`).

    Raises:
      ValueError: the shapes differ, are not those of images and masks, or an image is smaller than
        the window.
    """
    checks.pair("foreground_ssim", a, b)
    checks.mask("foreground_ssim", a, mask)
    similarity = _similarity("foreground_ssim", a, b, _OURS)
    return mean_over(similarity, _centres(mask))


def has_window(mask: Float[Array, "B H W"] | Bool[Array, "B H W"]) -> Bool[Array, "B"]:
    """Whether each mask holds the centre of a window, so that `foreground_ssim` has a value."""
    return has_pixels(_centres(mask))


def _centres(mask):
    # A window lies inside the image only if its centre is half a window away from every border.
    border = _OURS.window // 2
    return mask[:, border:-border, border:-border]


def _similarity(score, generated, target, settings) -> Float[Array, "B h w"]:
    """SSIM of every window inside the image, mean over channels; a value stands at its centre."""
    x, y = ((image.astype(jnp.float32) + 1.0) / 2.0 for image in (generated, target))
    # Pictures of DeepFashion are 176 pixels wide; the program scores them as squares of 256.
    if settings.white_columns:
        width = ((0, 0), (0, 0), (settings.white_columns,) * 2, (0, 0))
        x, y = (jnp.pad(image, width, constant_values=1.0) for image in (x, y))
    if min(x.shape[1:3]) < settings.window:
        raise ValueError(
            f"{score}: images must be at least {settings.window} pixels high and wide, the size "
            f"of its window, got {x.shape[1]} x {x.shape[2]}."
        )
    # Images are in [0, 1] here.
    span = None
    if settings.measured_range:
        axes = (1, 2, 3)
        span = jnp.max(x, axes, keepdims=True) - jnp.min(x, axes, keepdims=True)
        span = jnp.maximum(span, LEAST_RANGE)
    weights = windows.weights(settings.window, settings.sigma)
    return windows.structural_similarity(x, y, weights, settings.sample_covariance, span)
