"""Mixing at the picture's size: small fields of a network and a large picture to a large one.

Only tiles near the target's body are computed (`ops.tiles`), from windows of the fields: memory and
time go with the pixels of the person.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from volsynth.ops import pose_volumes, tiles
from volsynth.ops.body import raster
from volsynth.ops.body.capsules import SLENDER, Proportions, capsules
from volsynth.ops.reprojection import candidates, composition, mixing
from volsynth.ops.reprojection.candidates import Moved, View
from volsynth.ops.reprojection.mixing import Fields
from volsynth.ops.reprojection.sampling import Picture, Planes

_TAPS = 4
"""The number of samples that a cubic interpolation reads along each axis."""


def mix_enlarged(
    fields: Fields,
    pictures: Sequence[Picture],
    views: Sequence[View],
    means: Float[Array, "b p 3"],
    joints: Float[Array, "b j 3"],
    visible: Bool[Array, "b j"],
    side: float,
    proportions: Proportions = SLENDER,
    flow: float = 0.0,
) -> Planes:
    """The mixture at the size of the pictures, as `mixing.mix` makes it at that of the fields.

    Args:
      fields: of a network, [B, N, N, ...], with N at most the pictures' width.
      pictures: the source's picture of each view, four planes of premultiplied colour and coverage;
        sides are multiples of `tiles.SIZE`.
      views: the views, whose own pictures are not looked at.
      means: mean colours of the parts.
      joints: the wanted pose, in pixels.
      visible: which joints of it are known.
      side: width of the image in the pixels of the poses.
      proportions: the proportions of the body.
      flow: the largest flow, as a share of the person's scale.
    """
    joints = jax.lax.stop_gradient(joints)
    body = capsules(joints, visible, proportions)
    scale = pose_volumes.person_scale(joints, visible)
    reach = raster.REACH * scale
    shape = pictures[0][0].shape[1:]

    near = raster.near_tiles(body, reach, shape, side)
    attach = [*(candidates.moved(view, side) for view in views), composition.mean_colour(means)]

    def cast(pixels, _):
        target, attached = raster.cast(
            body, reach, near, pixels, lambda *at: tuple(one(*at) for one in attach)
        )
        return target.part, attached

    def mix(pixels, before):
        ((part, (*moved, mean)),) = before
        large = jax.tree.map(lambda field: enlarge(field, pixels, shape[1], side), fields)
        moved = candidates.flowed(moved, large.flow, flow * scale)
        colours = [
            candidates.moved_pixels(picture, at, side) for picture, at in zip(pictures, moved)
        ]
        return mixing.mix(large, colours, mean, part)

    zero = jnp.zeros(())
    nowhere = Moved(*[zero] * 4)
    _, mixed = tiles.compute(
        [cast, mix],
        near.count,
        shape,
        side,
        [(raster.empty().part, ((nowhere,) * len(views) + ((zero,) * 3,))), mixing.NOTHING],
    )
    return mixed


def enlarge(
    field: Float[Array, "b n n c"], pixels: tiles.Pixels, width: tiles.Count, side: float
) -> Float[Array, "b t 16 16 c"]:
    """The cubic interpolation of a field at the pixels of tiles (Keys 1981, with a = -1/2).

    Args:
      field: values at the pixels of a small image.
      pixels: of tiles of the large image.
      width: width of the large image in pixels, at least that of the small one.
      side: width of both in the pixels of the poses.
    """
    count = field.shape[1]
    window = _window(count, width)
    (index_y, weight_y), (index_x, weight_x) = (
        _taps(line * (count / side), window, count)
        for line in (pixels.y[..., 0], pixels.x[..., 0, :])
    )
    # Gathered as windows, as most samples of a tile's pixels are the same.
    batch = jnp.arange(field.shape[0])[:, None, None, None]
    patch = field[batch, index_y[..., :, None], index_x[..., None, :]]
    exact = {"precision": jax.lax.Precision.HIGHEST}
    rows = jnp.einsum("btpi,btijc->btpjc", weight_y, patch, **exact)
    return jnp.einsum("btqj,btpjc->btpqc", weight_x, rows, **exact)


def _window(count, width):
    """The number of samples along a side that the pixels of a tile read."""
    try:
        ratio = count / int(width)
    except Exception:  # A size that is a symbol of an exported program is as small as it can be.
        ratio = 1.0
    return int(np.ceil((tiles.SIZE - 1) * ratio)) + _TAPS


def _taps(position, window, count):
    """Indices [B, T, W] of the samples around a tile's pixels, and weights [B, T, 16, W]."""
    position = position - 0.5  # The first sample is at the centre of the first pixel.
    first = jnp.floor(position[..., 0]) - (_TAPS // 2 - 1)
    index = first[..., None] + jnp.arange(window)
    distance = jnp.abs(position[..., :, None] - index[..., None, :])
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weight = jnp.where(distance < 1, near, jnp.where(distance < 2, far, 0))
    # Beyond its edges a field goes on as at the edge.
    return jnp.clip(index, 0, count - 1).astype(jnp.int32), weight
