"""Weights of voxels against scipy: inside, outside and exactly on centres and borders."""

import jax
import numpy as np
import pytest

import oracles
from volsynth.ops.warp import matmul

SHAPES = pytest.mark.parametrize("shape", [(7,), (6, 5), (5, 4, 3), (4, 3, 1)])
_weights = jax.jit(matmul.hat_weights)


def _volume(shape, channels=2, seed=0):
    return np.random.default_rng(seed).standard_normal((*shape, channels)).astype(np.float32)


def _positions(shape, kind, count=60, seed=1):
    """Positions in voxels; the number is fixed, so that one compilation serves all kinds."""
    rng = np.random.default_rng(seed)
    size = np.array(shape)
    if kind == "inside":
        return (rng.uniform(size=(count, len(shape))) * (size - 1)).astype(np.float32)
    if kind == "outside":
        return (rng.uniform(-2, 2, (count, len(shape))) * size).astype(np.float32)
    if kind == "centres":
        return rng.integers(-1, size + 1, (count, len(shape))).astype(np.float32)
    borders = np.array([-1.0, -0.5, -1e-3, 0.0, 0.5])
    offsets = rng.choice(np.concatenate([borders, -borders]), (count, len(shape)))
    ends = rng.integers(0, 2, (count, len(shape))) * (size - 1)
    return (ends + offsets).astype(np.float32)


@SHAPES
def test_weights_times_values_equal_scipy(shape):
    volume = _volume(shape)
    centres = np.array(list(np.ndindex(*shape)), np.float32)
    for kind in ("inside", "outside", "centres", "borders"):
        positions = _positions(shape, kind)
        weights = _weights(positions, centres)
        got = weights @ volume.reshape(-1, volume.shape[-1])
        wanted = oracles.sample(volume, positions)
        np.testing.assert_allclose(got, wanted, atol=1e-5)
        if kind != "outside":
            assert np.abs(wanted).max() > 0.1
        if kind == "inside":
            np.testing.assert_allclose(weights.sum(axis=1), np.ones(len(positions)), atol=1e-5)


def test_weights_of_a_batch_are_those_of_its_examples():
    positions = np.stack([_positions((5, 4, 3), "inside", seed=s) for s in (1, 2)])
    centres = np.stack([np.array(list(np.ndindex(5, 4, 3)), np.float32)] * 2)
    got = _weights(positions, centres)
    for b in range(2):
        np.testing.assert_array_equal(got[b], _weights(positions[b], centres[b]))


@SHAPES
def test_nearest_weights_take_the_voxel_that_a_position_lies_in(shape):
    volume = _volume(shape)
    centres = np.array(list(np.ndindex(*shape)), np.float32)
    for kind in ("inside", "outside", "centres", "borders"):
        positions = _positions(shape, kind)
        weights = jax.jit(matmul.nearest_weights)(positions, centres)
        got = weights @ volume.reshape(-1, volume.shape[-1])
        np.testing.assert_array_equal(got, oracles.sample_nearest(volume, positions))
