"""Reprojections of planted people: the jitted operator, a person, and one with crossed arms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from volsynth import skeleton
from volsynth.ops.body import raster
from volsynth.ops.body.capsules import SLENDER
from volsynth.ops.reprojection import candidates, composition, reprojection

SIDE = 64
SHAPE = (SIDE, SIDE)
ALL = jnp.ones((2, 15), bool)
INDEX = skeleton.INDEX
PART = {name: i for i, name in enumerate(skeleton.PART_NAMES)}


@functools.partial(jax.jit, static_argnames=("visibility", "size"))
def run(rgba, source, target, visible=ALL, visibility=True, size=SIDE):
    """The reprojection of a picture, and the views it is made of."""
    side = float(rgba.shape[2])
    made = candidates.make_source(rgba, source, visible, side)
    views = candidates.views([made], [(source, visible)], (target, visible), side)
    means = composition.part_means([made])
    found = reprojection.reproject(
        views, means, target, visible, (size, size), side, visibility=visibility
    )
    return found, made, means


def stack(planes):
    """Planes as an array whose last axis they are."""
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


STANDING = {
    **{"head_top": (32, 4), "head": (32, 8), "neck": (32, 14)},
    **{"right_shoulder": (26, 16), "right_elbow": (15, 16), "right_wrist": (5, 16)},
    **{"left_shoulder": (38, 16), "left_elbow": (49, 16), "left_wrist": (59, 16)},
    **{"right_hip": (28, 34), "right_knee": (25, 46), "right_ankle": (22, 57)},
    **{"left_hip": (36, 34), "left_knee": (39, 46), "left_ankle": (42, 57)},
}
"""Seen from the front, arms level."""


def standing(**moved):
    places = {name: (*at, 32) for name, at in STANDING.items()} | moved
    return jnp.array([[places[name] for name in skeleton.JOINTS]], jnp.float32)


CROSSED = standing(right_elbow=(24, 26, 22), right_wrist=(38, 26, 20))
"""The right arm before the trunk."""


def painted(joints):
    """A picture in which every part has its own grey, and nothing is beside the body."""
    body = raster.raster(joints, ALL[:1], SHAPE, float(SIDE), SLENDER)
    inside = np.asarray(body.distance) < 0
    grey = np.where(inside, np.asarray(body.part) / 10, 0)[..., None]
    return jnp.asarray(np.concatenate([grey] * 3 + [inside[..., None]], axis=-1), jnp.float32)
