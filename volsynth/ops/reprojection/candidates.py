"""Candidates for the colour of a pixel of the target, found in the picture of the source.

The front surface of the target's body (`ops.body`) is mapped to the source by the transform of the
part that it belongs to (Knoche 2019, section 4.3.2: seven parameters for each of ten parts), and
the source's picture is sampled there. Where the source hides that point behind another part, the
mirrored candidate may still show the like of it: the same from the source's mirror image, which
has the other limb, and the other half of head and torso.

All lengths are pixels of the image that poses are in. Pictures and poses carry no gradient.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth import skeleton
from volsynth.ops import geometry, pose_volumes
from volsynth.ops.body import raster
from volsynth.ops.body.capsules import SLENDER, Proportions
from volsynth.ops.body.raster import Raster, Vectors
from volsynth.ops.pose_volumes import PartTransforms
from volsynth.ops.reprojection import sampling
from volsynth.ops.reprojection.sampling import Picture, Planes

TOLERANCE = 0.12
"""The distance behind the source's surface at which a point is half seen, as a share of the
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
      rgba: premultiplied colours in [-1, 1] and coverage in [0, 1], four planes.
      body: the raster of the person's body, of the same size.
      surface: z of the body's front, and `raster.FAR` where no capsule covers.
      scale: the person's scale (`pose_volumes.person_scale`), pixels.
    """

    rgba: Picture
    body: Raster
    surface: Float[Array, "b h w"]
    scale: Float[Array, " b"]


def make_source(
    rgba: Float[Array, "b h w 4"],
    joints: Float[Array, "b j 3"],
    visible: Bool[Array, "b j"],
    side: float,
    proportions: Proportions = SLENDER,
    body: Raster | None = None,
) -> Source:
    """A picture of a person with the person's body.

    Args:
      rgba: premultiplied colours in [-1, 1] and coverage in [0, 1].
      joints: the person's pose, in pixels.
      visible: which joints are known.
      side: width of the image in the pixels of the joints.
      proportions: the proportions of the body.
      body: the raster of the body, where it is known already.
    """
    if body is None:
        body = raster.raster(joints, visible, rgba.shape[1:3], side, proportions)
    surface = jnp.where(body.distance < 0, body.depth, raster.FAR)
    scale = pose_volumes.person_scale(joints, visible)
    return Source(sampling.planes(jax.lax.stop_gradient(rgba)), body, surface, scale)


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
    """The pixels of a source at the points that pixels of the target show.

    Attributes:
      rgba: premultiplied colour and coverage of the source there, four planes; zero where no part
        is.
      seen: in [0, 1], whether the source's picture shows that point, rather than one before it.
      own: whether the source's body shows the same part there, 0 or 1.
    """

    rgba: Planes
    seen: Float[Array, "b *n"]
    own: Float[Array, "b *n"]


class Moved(NamedTuple):
    """The points of a source's picture and space that pixels of the target show.

    Attributes:
      x: coordinates in the picture as it is, not as a mirror shows it.
      y: as `x`.
      depth: z in the source's space.
      valid: 1 where there is a part that can be placed in both poses, else 0.
    """

    x: Float[Array, "b *n"]
    y: Float[Array, "b *n"]
    depth: Float[Array, "b *n"]
    valid: Float[Array, "b *n"]


def moved(view: View, side: float) -> raster.Attach:
    """The function that attaches to a target's parts where they lie in a view, for `raster.cast`.

    Args:
      view: the source, and how it is looked at.
      side: width of the image in the pixels of the poses.
    """

    def attach(pick, depth, x, y):
        matrix, offset = pick(view.transforms.matrix), pick(view.transforms.offset)
        valid = pick(view.transforms.valid.astype(jnp.float32))
        # Written out: accelerators multiply matrices with 8 or 11 bits by default.
        at_x, at_y, at_z = (
            matrix[..., i, 0] * x
            + matrix[..., i, 1] * y
            + matrix[..., i, 2] * depth
            + offset[..., i]
            for i in range(3)
        )
        # A picture in a mirror is the picture itself, read from the other edge.
        at_x = side - at_x if view.mirrored else at_x
        # Compilers may compute what follows anew for every use, each time rounded in another way:
        # at a pixel's centre the pixels that are read would then not be those that are weighted.
        at_x, at_y = (jnp.floor(at * _GRID + 0.5) / _GRID for at in (at_x, at_y))
        return Moved(at_x, at_y, at_z, jnp.broadcast_to(valid, x.shape))

    return attach


def candidate(
    view: View, at: Moved, target: Raster, side: float, visibility: bool = True
) -> Candidate:
    """The candidate of some pixels of the target.

    Args:
      view: the source, and how it is looked at.
      at: where the pixels lie in the view.
      target: raster of the target at the pixels.
      side: width of the image in the pixels of the poses.
      visibility: whether it is told what the source hides, or else all taken as seen.
    """
    source = view.source
    rgba = moved_pixels(source.rgba, at, side)
    if visibility:
        body = (source.body.part, source.surface)
        part, surface = sampling.nearest(body, *_pixel(source, at, side))
        if view.mirrored:
            part = jnp.array((*skeleton.PART_MIRROR, raster.NOBODY), jnp.int32)[part]
        scale = jnp.maximum(source.scale, _TINY)
        behind = (at.depth - surface) / scale[(slice(None), *[None] * (at.x.ndim - 1))]
        # Where no capsule covers the source nothing hides: the surface is far behind.
        seen = jax.nn.sigmoid((TOLERANCE - behind) / SOFTNESS)
        own = (part == target.part).astype(jnp.float32)
    else:
        seen = own = jnp.ones(at.x.shape)
    return Candidate(rgba, seen * at.valid, own * at.valid)


def flowed(
    places: Sequence[Moved], flow: Float[Array, "b *n f"] | None, most: Float[Array, " b"]
) -> list[Moved]:
    """The points at which the candidates of pixels are found, a little way from where they were.

    Capsules are no exact body, and clothes hang on it. Unlike all else here this carries gradients,
    to the flow.

    Args:
      places: where the pixels lie in each view.
      flow: of a network, before its activation function: x and y for each view. tanh gives shares
        of `most`. None leaves the points where they are.
      most: the largest way along either axis, in pixels of the poses.
    """
    if flow is None:
        return list(places)
    most = most[(slice(None), *[None] * (flow.ndim - 1))]
    way = most * jnp.tanh(flow)
    return [
        at._replace(x=at.x + way[..., 2 * k], y=at.y + way[..., 2 * k + 1])
        for k, at in enumerate(places)
    ]


def normal_there(view: View, at: Moved, side: float) -> Vectors:
    """The normals of a source's body at the points that pixels of the target show.

    Args:
      view: the source, and how it is looked at.
      at: where the pixels lie in the view.
      side: width of the image in the pixels of the poses.
    """
    x, y, z = sampling.nearest(view.source.body.normal, *_pixel(view.source, at, side))
    x = -x if view.mirrored else x
    return x * at.valid, y * at.valid, z * at.valid


def _pixel(source, at, side):
    """Points in pixels of the raster of a source's body."""
    unit = source.surface.shape[2] / side
    return at.x * unit, at.y * unit


def moved_pixels(picture: Picture, at: Moved, side: float) -> Planes:
    """The pixels alone of a candidate, from a picture of any size: `Candidate.rgba`.

    Args:
      picture: planes of the source's picture in the size that is wanted; that of the view is not
        looked at.
      at: where the pixels of the target lie in the view.
      side: width of the image in the pixels of the poses.
    """
    unit = picture[0].shape[2] / side
    planes = sampling.bilinear(picture, at.x * unit, at.y * unit)
    return tuple(plane * at.valid for plane in planes)


Pose = tuple[Float[Array, "b j 3"], Bool[Array, "b j"]]
"""The joints of a person in pixels, and which of them are known."""


def views(
    sources: Sequence[Source],
    source_poses: Sequence[Pose],
    target_pose: Pose,
    side: float,
    fit: FitFn = pose_volumes.part_transforms,
) -> list[View]:
    """The views of some sources of one person: each one directly, and then in a mirror.

    Args:
      sources: the sources.
      source_poses: the pose of each.
      target_pose: the pose that is wanted.
      side: width of the image in the pixels of the poses.
      fit: the function that fits the transforms of the parts.
    """
    looks = [(source, mirrored) for source in sources for mirrored in (False, True)]
    poses = [look for pose in source_poses for look in (pose, geometry.mirrored_pose(*pose, side))]
    count = len(looks)
    # As one batch: the fit of ten parts takes seconds to compile.
    joints, visible = (jnp.concatenate(values) for values in zip(*poses))
    wanted = (jnp.concatenate([values] * count) for values in target_pose)
    parts = [jnp.split(v, count) for v in fit(joints, visible, *wanted, side)]
    transforms = [PartTransforms(*values) for values in zip(*parts)]
    return [View(source, fitted, mirrored) for (source, mirrored), fitted in zip(looks, transforms)]
