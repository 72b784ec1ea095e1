"""The operator: everything that a picture shows of a person in another pose, without learning.

It is computed in the tiles near the target's body (`ops.tiles`), a few at a time: the raster of the
target, both candidates of every pixel, the mean colours, and the picture composed of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth.ops import pose_volumes, tiles
from volsynth.ops.body import raster
from volsynth.ops.body.capsules import SLENDER, Proportions, capsules
from volsynth.ops.body.raster import Raster, Vectors
from volsynth.ops.reprojection import candidates, composition, hems
from volsynth.ops.reprojection.candidates import Candidate, Moved, View
from volsynth.ops.reprojection.sampling import Planes


class Reprojection(NamedTuple):
    """All that some views of a person show of the person in the target's pose.

    Attributes:
      target: raster of the target's body.
      scale: the target's scale, pixels.
      candidates: one for each view.
      moved: for each view the points at which the candidates were looked for.
      normal: of the first view's body at the points that pixels show.
      mean: mean colour of the part at every pixel.
      hem: what hangs beside the capsules, `hems.around`; () where it was not asked for.
      picture: what `composition.compose` makes of these: premultiplied colour and coverage.
    """

    target: Raster
    scale: Float[Array, " b"]
    candidates: tuple[Candidate, ...]
    moved: tuple[Moved, ...]
    normal: Vectors
    mean: Planes
    hem: Planes
    picture: Planes


def reproject(
    views: Sequence[View],
    means: Float[Array, "b p 3"],
    joints: Float[Array, "b j 3"],
    visible: Bool[Array, "b j"],
    shape: tiles.Shape,
    side: float,
    proportions: Proportions = SLENDER,
    visibility: bool = True,
    rings: Float[Array, "b r 4"] | None = None,
) -> Reprojection:
    """Everything that some views of a person show of the person in another pose.

    Args:
      views: the views, of pictures of any size.
      means: `composition.part_means` of the pictures.
      joints: the wanted pose, in pixels.
      visible: which joints of it are known.
      shape: pixel counts (H, W) of the result, multiples of `tiles.SIZE`.
      side: width of the image in the pixels of the poses, the sources' and the target's.
      proportions: the proportions of the body.
      visibility: whether it is told what the source hides, or else all taken as seen.
      rings: `hems.ring_means` of the pictures; None where no hems are wanted.
    """
    joints = jax.lax.stop_gradient(joints)
    body = capsules(joints, visible, proportions)
    scale = pose_volumes.person_scale(joints, visible)
    reach = raster.REACH * scale

    near = raster.near_tiles(body, reach, shape, side)
    attach = [*(candidates.moved(view, side) for view in views), composition.mean_colour(means)]

    def cast(pixels, _):
        target, (*moved, mean) = raster.cast(
            body, reach, near, pixels, lambda *at: tuple(one(*at) for one in attach)
        )
        hem = () if rings is None else hems.around(rings, target, scale)
        return target, tuple(moved), mean, hem

    def look(_, before):
        ((target, moved, _, _),) = before
        found = tuple(
            candidates.candidate(view, at, target, side, visibility)
            for view, at in zip(views, moved)
        )
        return found, candidates.normal_there(views[0], moved[0], side)

    def compose(_, before):
        (target, _, mean, _), (found, _) = before
        return composition.compose(target, scale, [*zip(views, found)], mean)

    zero = jnp.zeros(())
    nowhere, nothing = Moved(*[zero] * 4), Candidate((zero,) * 4, zero, zero)
    none = () if rings is None else (zero,) * 4
    (target, moved, mean, hem), (found, normal), picture = tiles.compute(
        [cast, look, compose],
        near.count,
        shape,
        side,
        [
            (raster.empty(), (nowhere,) * len(views), (zero,) * 3, none),
            ((nothing,) * len(views), (zero,) * 3),
            (zero,) * 4,
        ],
    )
    return Reprojection(target, scale, found, moved, normal, mean, hem, picture)
