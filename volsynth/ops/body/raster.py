"""Rasters of capsule bodies: what of a body a camera sees at every pixel.

The camera is orthographic and looks along z, as the coordinates of joints are meant. Under a pixel
the raster shows the capsule whose front surface is nearest to the camera, by exact intersection of
the pixel's ray with cylinders and balls. Beside the body, up to `reach`, it shows the capsule whose
outline is nearest, with the depth of its axis there: clothes and hair stand off the body, and move
with the part that they hang on.

Only tiles near the body are computed (`ops.tiles`), and in each only the capsules that can be seen
there. Poses carry no gradient, and rasters have none.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from volsynth import skeleton
from volsynth.ops import pose_volumes, tiles
from volsynth.ops.body.capsules import PARTS, USUAL, Capsules, Proportions, capsules

REACH = 0.3
"""The distance from its outline up to which a body has a raster, as a share of its scale.

Of a million pixels of people in `posed_people`, skirts and hair included, 28 are farther from
slender bodies; what is in reach is computed, so a larger one costs time."""

NOBODY = skeleton.NUM_PARTS
"""The part of pixels that are out of reach of every capsule."""

FAR = 1e4
"""The distance and the depth of such pixels, in pixels."""

_TINY = 1e-6


Vectors = tuple[Float[Array, "b *n"], Float[Array, "b *n"], Float[Array, "b *n"]]
"""Vectors (x, y, z), an array for each axis."""


class Raster(NamedTuple):
    """The body at every pixel; lengths are pixels of the image that joints are in.

    Attributes:
      part: index of the part in `skeleton.PARTS`; `NOBODY` out of reach of all.
      depth: z of the front surface; beside the body z of the axis of the nearest capsule.
      distance: distance in the image from the outline of that capsule, negative within it.
      normal: unit vector (x, y, z) from the nearest point of the axis to the surface; zero out of
        reach. One array for each axis, as arrays whose last axis is short are slow to make.
    """

    part: Int[Array, "b h w"]
    depth: Float[Array, "b h w"]
    distance: Float[Array, "b h w"]
    normal: Vectors


class Near(NamedTuple):
    """The capsules that may be seen in each tile of an image, in the order of `tiles.centres`.

    Attributes:
      order: indices of all capsules, those that may be seen first.
      count: the number of those.
    """

    order: Int[Array, "b n k"]
    count: Int[Array, "b n"]


Pick = Callable[[Array], Array]
"""A function: values [B, P, ...] of parts -> those of the part in question, [B, T, 1, 1, ...]."""

Attach = Callable[[Pick, Array, Array, Array], Any]
"""A function (pick, depth, x, y) -> a pytree of arrays [B, T, 16, 16] for pixels of a part."""


def raster(
    joints: Float[Array, "b j 3"],
    visible: Bool[Array, "b j"],
    shape: tiles.Shape,
    side: float,
    proportions: Proportions = USUAL,
) -> Raster:
    """The raster of some bodies.

    Args:
      joints: pixels.
      visible: which joints are known; capsules that lack one are left out.
      shape: pixel counts (H, W), multiples of `tiles.SIZE`.
      side: width of the image in the pixels of the joints.
      proportions: the proportions of the bodies.
    """
    body = capsules(joints, visible, proportions)
    reach = REACH * pose_volumes.person_scale(joints, visible)
    near = near_tiles(body, reach, shape, side)

    def stage(pixels, _):
        return cast(body, reach, near, pixels)[0]

    return tiles.compute([stage], near.count, shape, side, [empty()])[0]


def empty() -> Raster:
    """The raster of a pixel out of reach of every capsule."""
    return Raster(
        part=jnp.int32(NOBODY),
        depth=jnp.float32(FAR),
        distance=jnp.float32(FAR),
        normal=(jnp.float32(0),) * 3,
    )


def near_tiles(body: Capsules, reach: Float[Array, " b"], shape: tiles.Shape, side: float) -> Near:
    """The capsules that may be the ones to be seen at a pixel of each tile.

    Args:
      body: the bodies.
      reach: distance from the outline, in pixels.
      shape: pixel counts (H, W).
      side: width of the image in the pixels of the bodies.
    """
    x, y = tiles.centres(shape, side)
    start, end = (jnp.moveaxis(v, -1, 0)[..., None] for v in (body.start, body.end))
    distance, _ = _outline_distance(start, end, body.radius[..., None], x, y)
    known = body.known[..., None]
    distance = jnp.where(known, distance, FAR)
    # Half a tile's diagonal, and a little for rounding: no pixel is further from the centre.
    slack = 1.01 * tiles.SIZE * side / shape[1] * 2**-0.5
    # A capsule is seen where it covers, or where its outline is the nearest of all.
    nearest = jnp.min(distance, axis=1, keepdims=True)
    may = (distance <= slack) | (distance <= nearest + 2 * slack)
    may &= known & (distance <= reach[:, None, None] + slack)
    may = jnp.swapaxes(may, 1, 2)
    order = jnp.argsort(~may, axis=-1, stable=True).astype(jnp.int32)
    return Near(order, jnp.sum(may, axis=-1, dtype=jnp.int32))


def cast(
    body: Capsules,
    reach: Float[Array, " b"],
    near: Near,
    pixels: tiles.Pixels,
    attach: Attach | None = None,
) -> tuple[Raster, Any]:
    """The raster of some bodies at the pixels of some tiles, and what is attached to their parts.

    Args:
      body: the bodies.
      reach: distance from the outline up to which they have a raster, in pixels.
      near: the capsules that each tile may see (`near_tiles`).
      pixels: the pixels.
      attach: called once for every capsule, it gives values of the capsule's part at the pixels.

    Returns:
      The raster, and the values of `attach` for the part that is seen; 0 out of reach of all.
    """
    x = pixels.x
    reach = reach[:, None, None, None]
    most, look = tile_capsules(body, near, pixels)

    def add(k, seen):
        """Adds one more capsule, where it is before those that were added."""
        rank, old = seen
        part, there, met = look(k)
        more = attach and attach(lambda values: of_tiles(values, part), met.depth, x, pixels.y)
        # Within a capsule the one nearest to the camera wins, beside all of them the nearest
        # outline; within wins over beside.
        mine = jnp.where(met.distance < 0, met.depth - 2 * FAR, met.distance)
        wins = there & (mine < rank) & (met.distance <= reach)
        new = (jnp.broadcast_to(part[..., None, None], x.shape), met, more)
        chosen = jax.tree.map(lambda value, old: jnp.where(wins, value, old), new, old)
        return jnp.where(wins, mine, rank), chosen

    far, zero = jnp.full(x.shape, FAR), jnp.zeros(x.shape)
    nobody = jnp.full(x.shape, NOBODY, jnp.int32)
    attached = jax.eval_shape(lambda: attach and attach(_first_part, zero, x, x))
    attached = jax.tree.map(lambda value: jnp.zeros(x.shape, value.dtype), attached)
    nothing = (far, (nobody, Hit(far, far, zero, zero, zero), attached))
    _, (part, met, attached) = jax.lax.fori_loop(0, most, add, nothing)
    length = jnp.sqrt(met.across_x**2 + met.across_y**2 + met.down**2)
    length = jnp.maximum(length, _TINY)
    normal = (met.across_x / length, met.across_y / length, -met.down / length)
    return Raster(part, met.depth, met.distance, normal), attached


def _first_part(values):
    """The values of the first part, of values [B, P, ...], as `of_tiles` gives them."""
    return values[:, :1, None, None]


def of_tiles(values: Array, part: Int[Array, "b t"]) -> Array:
    """The values [B, T, 1, 1, ...] of one part for each tile, of values [B, P, ...] of all."""
    part = part.reshape(*part.shape, *[1] * (values.ndim - 2))
    return jnp.take_along_axis(values, part, axis=1)[:, :, None, None]


def tile_capsules(
    body: Capsules, near: Near, pixels: tiles.Pixels
) -> tuple[Int[Array, ""], Callable[[Any], tuple[Array, Array, "Hit"]]]:
    """The capsules that some tiles may see, to be looked at one after the other.

    Args:
      body: the bodies.
      near: the capsules that each tile may see (`near_tiles`).
      pixels: the pixels of the tiles.

    Returns:
      The largest number of capsules of any tile, and a function of k below that number: part of the
      k-th capsule of each tile [B, T], whether there is one [B, T, 1, 1], and the capsule under the
      pixels.
    """
    owners = jnp.array(PARTS)
    index = jnp.take_along_axis(near.order, pixels.tile[..., None], axis=1)
    count = jnp.take_along_axis(near.count, pixels.tile, axis=1)
    numbers = jnp.concatenate([body.start, body.end, body.radius[..., None]], axis=-1)

    def look(k):
        n = jax.lax.dynamic_index_in_dim(index, k, axis=2, keepdims=False)
        row = of_tiles(numbers, n)
        start, end = (tuple(row[..., i + axis] for axis in range(3)) for i in (0, 3))
        met = hit(start, end, row[..., 6], pixels.x, pixels.y)
        return owners[n], (k < count)[..., None, None], met

    return jnp.max(count), look


class Hit(NamedTuple):
    """A capsule under some pixels; its vector from the axis to the surface is (x, y, -down)."""

    distance: Array
    depth: Array
    across_x: Array
    across_y: Array
    down: Array


def _outline_distance(start, end, radius, x, y):
    """The distance in the image from a capsule's outline, and the parameter of its axis there."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    from_x, from_y = x - start[0], y - start[1]
    squared = jnp.maximum(along_x**2 + along_y**2, _TINY)
    foot = (from_x * along_x + from_y * along_y) / squared
    nearest = jnp.clip(foot, 0, 1)
    across_x, across_y = from_x - nearest * along_x, from_y - nearest * along_y
    # Not jnp.hypot, which guards against overflow and takes twice as long.
    across = jnp.sqrt(across_x**2 + across_y**2)
    return across - radius, foot


def hit(start: Sequence[Array], end: Sequence[Array], radius: Array, x: Array, y: Array) -> Hit:
    """A capsule under some pixels: the ball that is swept along its axis, from `start` to `end`.

    The ball with its centre at parameter t has its front at depth
    z(t) = z0 + t dz - sqrt(r^2 - |o - t d|^2), where o is the pixel and d the axis, seen from
    `start` in the image. The function is convex; its least value is that of the surface in front.
    """
    along_x, along_y, along_z = (b - a for a, b in zip(start, end))
    from_x, from_y = x - start[0], y - start[1]
    squared = jnp.maximum(along_x**2 + along_y**2, _TINY)
    distance, foot = _outline_distance(start, end, radius, x, y)
    # The foot of the pixel on the endless axis, and the half chord of the endless cylinder there.
    apart = (from_x - foot * along_x) ** 2 + (from_y - foot * along_y) ** 2
    chord = jnp.sqrt(jnp.maximum(radius**2 - apart, 0))
    slant = along_z / jnp.sqrt(squared * (squared + along_z**2))
    inside = distance < 0
    t = jnp.clip(foot - jnp.where(inside, slant * chord, 0), 0, 1)
    across_x, across_y = from_x - t * along_x, from_y - t * along_y
    down = jnp.sqrt(jnp.maximum(radius**2 - across_x**2 - across_y**2, 0))
    down = jnp.where(inside, down, 0)
    return Hit(distance, start[2] + t * along_z - down, across_x, across_y, down)
