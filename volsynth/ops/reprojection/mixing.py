"""Mixing of candidates into a picture, as a network's fields say; at the network's size or larger.

A network of a small size gives for every pixel the weights of the candidates, a colour of its own
paint, the paint's coverage of the background, and a gain. The fields are smooth: enlarged by cubic
interpolation they serve pictures of any size, whose sharpness is that of the moved pixels.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from volsynth.ops.body.raster import NOBODY
from volsynth.ops.reprojection.sampling import Planes

LEAST_ALPHA = 1e-4
"""The least coverage of a candidate in the logarithm that is added to its logit."""

MOST_GAIN = 1.0
"""The bound of the logarithm of the gain, both ways."""

NOTHING = (0.0, 0.0, 0.0, -1.0)
"""The mixture where there is nothing: some colour, of which nothing is seen."""

_THIN = 0.02
"""The coverage below which a candidate's colour is not divided by its coverage any more."""


class Fields(NamedTuple):
    """The outputs of a network for every pixel, before their activation functions.

    Attributes:
      logits: weights of the candidates, and of the paint, which is the last.
      paint: colour.
      coverage: of the background by all that is mixed; tanh gives -1 (none) to 1 (opaque).
      gain: logarithm of the factor of the mixture's brightness; None for no shading.
      flow: x and y of the way from where each moved candidate is looked for to where it is found,
        see `candidates.flowed`; None for none.
    """

    logits: Float[Array, "b *n k"]
    paint: Float[Array, "b *n 3"]
    coverage: Float[Array, "b *n 1"]
    gain: Float[Array, "b *n 1"] | None
    flow: Float[Array, "b *n f"] | None = None


def colour_and_alpha(rgba: Planes) -> tuple[Planes, Float[Array, "b *n"]]:
    """A candidate's colour, freed of its coverage, and its coverage."""
    *colour, alpha = rgba
    return tuple(plane / jnp.maximum(alpha, _THIN) for plane in colour), alpha


def mix(
    fields: Fields,
    moved: Sequence[Planes],
    mean: Planes,
    part: Int[Array, "b *n"],
) -> Planes:
    """The mixture of candidates, mean colour and paint: three planes of colour, and its coverage.

    Coverage is from -1 (none) to 1 (opaque), as `keying.over` takes it.
    Out of reach of the target's body there is nothing, whatever the fields say.

    Args:
      fields: of a network; its logits are those of the moved candidates in their order, of the mean
        colour, and of the paint.
      moved: candidates, planes of premultiplied colour and coverage.
      mean: the mean colour of the part, which is opaque.
      part: the target's part at every pixel, of its raster.
    """
    pairs = [colour_and_alpha(rgba) for rgba in moved]
    paint = tuple(jnp.tanh(fields.paint[..., i]) for i in range(3))
    colours = [*(colour for colour, _ in pairs), mean, paint]
    logits = [fields.logits[..., k] for k in range(len(colours))]
    # Where the source has nothing its colour means nothing.
    for k, (_, alpha) in enumerate(pairs):
        logits[k] += jnp.log(jnp.clip(alpha, LEAST_ALPHA, 1))
    most = jax.lax.stop_gradient(functools.reduce(jnp.maximum, logits))
    weights = [jnp.exp(logit - most) for logit in logits]
    total = sum(weights)
    mixed = [sum(w * c[i] for w, c in zip(weights, colours)) / total for i in range(3)]
    if fields.gain is not None:
        # Of the distance from black: otherwise a network darkens with dark paint.
        gain = jnp.exp(jnp.clip(fields.gain[..., 0], -MOST_GAIN, MOST_GAIN))
        mixed = [(plane + 1) * gain - 1 for plane in mixed]
    mixed = [*(jnp.clip(plane, -1, 1) for plane in mixed), jnp.tanh(fields.coverage[..., 0])]
    nobody = part == NOBODY
    return tuple(jnp.where(nobody, none, plane) for none, plane in zip(NOTHING, mixed))
