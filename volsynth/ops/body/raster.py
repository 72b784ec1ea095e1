"""Rasters of capsule bodies: what of a body a camera sees at every pixel.

The camera is orthographic and looks along z, as the coordinates of joints are meant. Under a pixel
the raster shows the capsule whose front surface is nearest to the camera, by exact intersection of
the pixel's ray with cylinders and balls. Beside the body, up to `reach`, it shows the capsule whose
outline is nearest, with the depth of its axis there: clothes and hair stand off the body, and move
with the part that they hang on.

Only tiles near the body are computed (`ops.tiles`). Poses carry no gradient, and rasters have none.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from volsynth import skeleton
from volsynth.ops import pose_volumes, tiles
from volsynth.ops.body.capsules import NUM_CAPSULES, PARTS, USUAL, Capsules, Proportions, capsules

REACH = 0.4
"""The distance from its outline up to which a body has a raster, as a share of its scale."""

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
    return tiles.compute(
        lambda pixels: cast(body, reach, pixels.x, pixels.y), near, shape, side, empty()
    )


def empty() -> Raster:
    """The raster of a pixel out of reach of every capsule."""
    return Raster(
        part=jnp.int32(NOBODY),
        depth=jnp.float32(FAR),
        distance=jnp.float32(FAR),
        normal=(jnp.float32(0),) * 3,
    )


def near_tiles(
    body: Capsules, reach: Float[Array, " b"], shape: tiles.Shape, side: float
) -> Bool[Array, "b n"]:
    """The tiles that may have a pixel within reach of a capsule, in the order of `tiles.centres`.

    Args:
      body: the bodies.
      reach: distance from the outline, in pixels.
      shape: pixel counts (H, W).
      side: width of the image in the pixels of the bodies.
    """
    x, y = tiles.centres(shape, side)
    # Half a tile's diagonal: no pixel of it is further from its centre.
    slack = tiles.SIZE * side / shape[1] * 2**-0.5
    marked = jnp.zeros((reach.shape[0], *x.shape), bool)
    for n in range(NUM_CAPSULES):
        start, end, radius, known = (value[:, n] for value in body)
        start, end = (v.T[..., None] for v in (start, end))
        distance, _ = _outline_distance(start, end, radius[:, None], x, y)
        marked |= (distance <= reach[:, None] + slack) & known[:, None]
    return marked


def cast(
    body: Capsules, reach: Float[Array, " b"], x: Float[Array, "b *n"], y: Float[Array, "b *n"]
) -> Raster:
    """The raster at some pixels of every example.

    Args:
      body: the bodies.
      reach: distance from the outline up to which they have a raster, in pixels.
      x: coordinates of the pixels' centres.
      y: as `x`.
    """
    grow = (slice(None), *[None] * (x.ndim - 1))
    reach = reach[grow]
    owners = jnp.array(PARTS)

    def add(n, seen):
        """One more capsule, where it is before those that were added."""
        key, part, met = seen
        start, end = (tuple(v[:, n, axis][grow] for axis in range(3)) for v in body[:2])
        radius, known = (v[:, n][grow] for v in body[2:])
        new = hit(start, end, radius, x, y)
        # Within a capsule the one nearest to the camera wins, beside all of them the nearest
        # outline; within wins over beside.
        rank = jnp.where(new.distance < 0, new.depth - 2 * FAR, new.distance)
        wins = known & (rank < key) & (new.distance <= reach)
        part = jnp.where(wins, owners[n], part)
        met = jax.tree.map(lambda value, old: jnp.where(wins, value, old), new, met)
        return jnp.where(wins, rank, key), part, met

    far, zero = jnp.full(x.shape, FAR), jnp.zeros(x.shape)
    # A loop: as one expression of fifteen capsules it would take XLA half a minute to compile.
    nothing = (far, jnp.full(x.shape, NOBODY, jnp.int32), Hit(far, far, zero, zero, zero))
    _, part, met = jax.lax.fori_loop(0, NUM_CAPSULES, add, nothing)
    length = jnp.sqrt(met.across_x**2 + met.across_y**2 + met.down**2)
    length = jnp.maximum(length, _TINY)
    normal = (met.across_x / length, met.across_y / length, -met.down / length)
    return Raster(part, met.depth, met.distance, normal)


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
