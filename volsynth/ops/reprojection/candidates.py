"""Candidates for the colour of a pixel of the target, found in the picture of the source.

The front surface of the target's body (`ops.body`) is mapped to the source by the transform of the
part that it belongs to (Knoche 2019, section 4.3.2: seven parameters for each of ten parts), and
the source's picture is sampled there. Where the source hides that point behind another part, the
mirrored candidate may still show the like of it: the same from the source's mirror image, which
has the other limb, and the other half of head and torso.

All lengths are pixels of the image that poses are in. Pictures and poses carry no gradient.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth import skeleton
from volsynth.ops import pose_volumes
from volsynth.ops.body import raster
from volsynth.ops.body.raster import Raster, Vectors
from volsynth.ops.pose_volumes import PartTransforms
from volsynth.ops.reprojection import sampling
from volsynth.ops.reprojection.sampling import Planes

TOLERANCE = 0.12
"""How far a point may lie behind the source's surface and still be half seen, as a share of the
person's scale: capsules are no exact body."""

SOFTNESS = 0.03
"""The distance within which what is seen fades to what is hidden, as such a share."""


_TINY = 1e-3
"""The smallest scale that is divided by, in pixels."""

_GRID = 4096
"""The number of steps in a pixel to which positions are rounded."""

FitFn = Callable[..., PartTransforms]
"""(source, source_visible, target, target_visible, side) -> the transforms of all parts, as of
`pose_volumes.part_transforms`."""


class Source(NamedTuple):
    """A picture of a person, as candidates are taken from it.

    Attributes:
      rgba: premultiplied colours in [-1, 1] and coverage in [0, 1].
      body: the raster of the person's body, of the same size.
      scale: the person's scale (`pose_volumes.person_scale`), pixels.
    """

    rgba: Float[Array, "b h w 4"]
    body: Raster
    scale: Float[Array, " b"]


class View(NamedTuple):
    """A source as it is looked at: directly, or in a mirror.

    Attributes:
      source: the source; its arrays are the same in both.
      transforms: from the target's parts to the source's, or to those of its mirrored pose.
      mirrored: whether it is looked at in a mirror.
    """

    source: Source
    transforms: PartTransforms
    mirrored: bool


class Candidate(NamedTuple):
    """What a source shows at the points that pixels of the target show.

    Attributes:
      rgba: premultiplied colour and coverage of the source there, four planes; zero where no part
        is.
      seen: in [0, 1], whether the source's picture shows that point, rather than one before it.
      own: whether the source's body shows the same part there, 0 or 1.
      normal: of the source's body there.
    """

    rgba: Planes
    seen: Float[Array, "b *n"]
    own: Float[Array, "b *n"]
    normal: Vectors


def mirrored_pose(
    joints: Float[Array, "b j 3"], visible: Bool[Array, "b j"], side: float
) -> tuple[Float[Array, "b j 3"], Bool[Array, "b j"]]:
    """The pose of a person in a mirror: left and right exchanged, x counted from the other edge."""
    mirror = jnp.array(skeleton.MIRROR)
    mirrored = joints[:, mirror]
    return mirrored.at[..., 0].set(side - mirrored[..., 0]), visible[:, mirror]


def moved_points(
    transforms: PartTransforms,
    target: Raster,
    x: Float[Array, "b *n"],
    y: Float[Array, "b *n"],
) -> tuple[Float[Array, "b *n"], Float[Array, "b *n"], Float[Array, "b *n"], Bool[Array, "b *n"]]:
    """The points of the source's space that pixels of the target show, and whether there is one.

    Args:
      transforms: from the target's parts to the source's.
      target: raster of the target at the pixels.
      x: coordinates of the pixels' centres.
      y: as `x`.

    Returns:
      x, y and z of the points, and whether the part can be placed in both poses.
    """
    grow = (slice(None), *[None] * (x.ndim - 1))
    rows = [[jnp.zeros(x.shape)] * 4 for _ in range(3)]
    valid = jnp.zeros(x.shape, bool)
    # A choice among ten numbers is cheaper than a gather of thirteen for every pixel.
    for part in range(skeleton.NUM_PARTS):
        here = target.part == part
        valid |= here & transforms.valid[:, part][grow]
        for i in range(3):
            numbers = [transforms.matrix[:, part, i, j] for j in range(3)]
            numbers += [transforms.offset[:, part, i]]
            rows[i] = [jnp.where(here, n[grow], old) for n, old in zip(numbers, rows[i])]
    # Written out: accelerators multiply matrices with 8 or 11 bits by default.
    moved = [a * x + b * y + c * target.depth + d for a, b, c, d in rows]
    return *moved, valid


def candidate(
    view: View,
    target: Raster,
    x: Float[Array, "b *n"],
    y: Float[Array, "b *n"],
    side: float,
    visibility: bool = True,
) -> Candidate:
    """The candidate of some pixels of the target.

    Args:
      view: the source, and how it is looked at.
      target: raster of the target at the pixels.
      x: coordinates of the pixels' centres.
      y: as `x`.
      side: width of the image in the pixels of the poses.
      visibility: whether it is told what the source hides, or else all taken as seen.
    """
    source = view.source
    at_x, at_y, depth, there = _moved(view, target, x, y, side)
    rgba = _sampled(source.rgba, at_x, at_y, there, side)
    part, surface, distance, normal = _body_there(view, at_x, at_y, side)
    if visibility:
        behind = (depth - surface) / _grown(jnp.maximum(source.scale, _TINY), x)
        seen = jax.nn.sigmoid((TOLERANCE - behind) / SOFTNESS)
        # Where no capsule covers the source nothing hides.
        seen = jnp.where(distance < 0, seen, 1.0)
        own = (part == target.part).astype(jnp.float32)
    else:
        seen = own = jnp.ones(x.shape)
    return Candidate(rgba, seen * there, own * there, tuple(axis * there for axis in normal))


def moved_pixels(
    picture: Float[Array, "b h2 w2 4"],
    view: View,
    target: Raster,
    x: Float[Array, "b *n"],
    y: Float[Array, "b *n"],
    side: float,
) -> Planes:
    """The pixels alone of a candidate, from a picture of any size: `Candidate.rgba`.

    Args:
      picture: the source's picture in the size that is wanted; that of the view is not looked at.
      view: as for `candidate`.
      target: as for `candidate`.
      x: as for `candidate`.
      y: as for `candidate`.
      side: as for `candidate`.
    """
    at_x, at_y, _, there = _moved(view, target, x, y, side)
    return _sampled(picture, at_x, at_y, there, side)


def _moved(view, target, x, y, side):
    """The points in the source's picture, their depths, and 1 where there are any, else 0."""
    at_x, at_y, depth, valid = moved_points(view.transforms, target, x, y)
    # A picture in a mirror is the picture itself, read from the other edge.
    at_x = side - at_x if view.mirrored else at_x
    # XLA may compute a position anew for every use, each time rounded in another way: where it is
    # a pixel's centre, the pixels that are read would then not be those that are weighted.
    at_x, at_y = (jnp.floor(at * _GRID + 0.5) / _GRID for at in (at_x, at_y))
    # Behind the barrier, as XLA would compute them again for every number that is read there.
    return jax.lax.optimization_barrier((at_x, at_y, depth, valid.astype(jnp.float32)))


def _sampled(picture, at_x, at_y, there, side):
    unit = picture.shape[2] / side
    planes = sampling.bilinear(picture, at_x * unit, at_y * unit)
    return tuple(plane * there for plane in planes)


def _body_there(view, at_x, at_y, side):
    """The raster of the source's body at some points of its picture."""
    body = view.source.body
    unit = body.part.shape[2] / side
    # Array by array: to put them side by side for one gather takes longer than six gathers.
    there = jax.tree.map(
        lambda values: sampling.nearest(values[..., None], at_x * unit, at_y * unit)[..., 0], body
    )
    if not view.mirrored:
        return there
    part = jnp.array((*skeleton.PART_MIRROR, raster.NOBODY), jnp.int32)[there.part]
    return there._replace(part=part, normal=(-there.normal[0], *there.normal[1:]))


def _grown(values, like):
    """[B] -> [B, 1, ...], with as many axes as `like`."""
    return values[(slice(None), *[None] * (like.ndim - 1))]


def views(
    source: Source,
    source_pose: tuple[Float[Array, "b j 3"], Bool[Array, "b j"]],
    target_pose: tuple[Float[Array, "b j 3"], Bool[Array, "b j"]],
    side: float,
    fit: FitFn = pose_volumes.part_transforms,
) -> list[View]:
    """A source looked at directly and in a mirror.

    Args:
      source: the source.
      source_pose: its joints in pixels, and which of them are known.
      target_pose: joints and visibility of the target.
      side: width of the image in the pixels of the poses.
      fit: the function that fits the transforms of the parts.
    """
    mirrored = mirrored_pose(*source_pose, side)
    return [
        View(source, fit(*pose, *target_pose, side), is_mirrored)
        for pose, is_mirrored in ((source_pose, False), (mirrored, True))
    ]
