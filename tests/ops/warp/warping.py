"""Volumes, masks and transforms to warp, the compiled warp, and two slow forms of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy import ndimage

import oracles
from volsynth.data import fake
from volsynth.ops import pose_volumes
from volsynth.ops.warp import warp

SIDE = 16.0
SHAPE = (8, 6, 5)
CHANNELS = 3
VISIBLE = np.ones((2, 15), bool)


@functools.partial(jax.jit, static_argnums=3)
def warped(volume, masks, transforms, form=None):
    """The warp in one of its forms, or in that of the platform."""
    return warp.warp(volume, masks, transforms, SIDE, form)


@functools.partial(jax.jit, static_argnums=4)
def pull(volume, masks, transforms, g, form=None):
    """The gradient of the volume for the gradient `g` of the result."""
    return jax.vjp(lambda v: warp.warp(v, masks, transforms, SIDE, form), volume)[1](g)[0]


every_form = pytest.mark.parametrize("form", sorted(warp.FORMS))


@jax.jit
def from_poses(source, source_visible, target, target_visible):
    """Masks of the parts, and their transforms, of poses."""
    masks = pose_volumes.part_masks(source, source_visible, SHAPE, SIDE, 0.2)
    args = (source, source_visible, target, target_visible)
    return masks, pose_volumes.part_transforms(*args, SIDE)


def volume(seed=0, shape=SHAPE, dtype=np.float32):
    """Normally distributed features."""
    values = np.random.default_rng(seed).standard_normal((2, *shape, CHANNELS))
    return values.astype(np.float32).astype(dtype)


def random_case(seed, shape=SHAPE):
    """Masks and transforms without any order in them."""
    rng = np.random.default_rng(seed)
    masks = rng.uniform(size=(2, 10, *shape)) < 0.6
    rotations = [oracles.rotation_about(rng.standard_normal(3), rng.normal()) for _ in range(20)]
    scales = rng.uniform(0.5, 2, (20, 1, 1))
    matrix = (scales * rotations).reshape(2, 10, 3, 3)
    moved = (matrix @ np.full(3, SIDE / 2)) - SIDE / 2
    offset = rng.uniform(-4, 4, (2, 10, 3)) - moved
    valid = rng.uniform(size=(2, 10)) < 0.9
    return masks, part_transforms(matrix, offset, valid)


def part_transforms(matrix, offset, valid):
    """Transforms of arrays."""
    matrix, offset = (jnp.asarray(v, jnp.float32) for v in (matrix, offset))
    return pose_volumes.PartTransforms(matrix, offset, jnp.asarray(valid))


def same(parts=10, offset=(0.0, 0.0, 0.0)):
    """Transforms that shift all parts alike and turn none."""
    matrix = np.broadcast_to(np.eye(3), (2, parts, 3, 3))
    shift = np.broadcast_to(offset, (2, parts, 3))
    return part_transforms(matrix, shift, np.ones((2, parts), bool))


def full(parts=10, shape=SHAPE):
    """Masks of parts that are everywhere."""
    return np.ones((2, parts, *shape), bool)


def case(name):
    """Masks and transforms of a name, such as one of `CASES`."""
    if name == "poses":
        poses = (fake.poses(2, 16, 1, 0.08), VISIBLE, fake.poses(2, 16, 2, 0.08), VISIBLE)
        return from_poses(*poses)
    if name == "crumpled":
        source, target = (fake.poses(2, 16, seed, 0.3) for seed in (3, 4))
        return from_poses(source, VISIBLE, target, VISIBLE)
    return random_case({"random": 0, "other": 1}[name])


CASES = ["poses", "crumpled", "random", "other"]


def slow_warp(volume, masks, transforms, sample=oracles.sample):
    """The warp by its definition, one example at a time."""
    return np.stack(
        [
            oracles.warp(
                np.asarray(volume[b], np.float64),
                np.asarray(masks[b]),
                transforms.matrix[b],
                transforms.offset[b],
                np.asarray(transforms.valid[b]),
                SIDE,
                sample,
            )
            for b in range(2)
        ]
    )


def copies(volume, masks, transforms, order=1):
    """The naive form with autodiff: ten copies, `jax.scipy`, `jnp.max`."""
    shape = volume.shape[1:4]
    result = []
    for b in range(2):
        moved = []
        for p in range(masks.shape[1]):
            masked = volume[b] * (masks[b, p] & transforms.valid[b, p])[..., None]
            positions = oracles.source_positions(
                transforms.matrix[b, p], transforms.offset[b, p], shape, SIDE
            )
            coordinates = jnp.asarray(positions.T.reshape(3, *shape), jnp.float32)
            channels = [
                ndimage.map_coordinates(masked[..., c], list(coordinates), order, mode="constant")
                for c in range(CHANNELS)
            ]
            moved.append(jnp.stack(channels, axis=-1))
        result.append(jnp.max(jnp.stack(moved), axis=0))
    return jnp.stack(result)
