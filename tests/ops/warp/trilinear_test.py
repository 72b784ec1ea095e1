"""The N-linear sampler against scipy, inside, outside and exactly on centres and borders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import oracles
from volsynth.ops.warp import trilinear

SHAPES = pytest.mark.parametrize("shape", [(7,), (6, 5), (5, 4, 3), (4, 3, 1)])
_sample = jax.jit(trilinear.sample)
_weights = jax.jit(trilinear.hat_weights)


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
@pytest.mark.parametrize("kind", ["inside", "outside", "centres", "borders"])
def test_sample_equals_scipy(shape, kind):
    volume, positions = _volume(shape), _positions(shape, kind)
    wanted = oracles.sample(volume, positions)
    np.testing.assert_allclose(_sample(volume, positions), wanted, atol=1e-5)
    if kind != "outside":
        assert np.abs(wanted).max() > 0.1


@SHAPES
def test_weights_times_values_equals_sample(shape):
    volume = _volume(shape)
    centres = np.array(list(np.ndindex(*shape)), np.float32)
    for kind in ("inside", "outside", "centres", "borders"):
        positions = _positions(shape, kind)
        weights = _weights(positions, centres)
        got = weights @ volume.reshape(-1, volume.shape[-1])
        np.testing.assert_allclose(got, _sample(volume, positions), atol=1e-5)
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
        weights = jax.jit(trilinear.nearest_weights)(positions, centres)
        got = weights @ volume.reshape(-1, volume.shape[-1])
        np.testing.assert_array_equal(got, oracles.sample_nearest(volume, positions))


@pytest.mark.parametrize("value", [1e6, -1e6, 3e9, -3e9, np.inf, -np.inf])
def test_positions_far_away_give_zero(value):
    positions = np.full((3, 2), 1, np.float32)
    positions[1, 0] = positions[2, 1] = value
    got = _sample(_volume((6, 5)), positions)
    np.testing.assert_array_equal(got[1:], np.zeros((2, 2)))
    assert np.all(got[0] != 0)


def test_a_bfloat16_volume_gives_bfloat16():
    volume, positions = _volume((5, 4, 3)), _positions((5, 4, 3), "inside")
    got = _sample(jnp.asarray(volume, jnp.bfloat16), positions)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.astype(np.float32), _sample(volume, positions), atol=0.05)


def test_the_gradient_of_the_volume_is_the_transpose():
    """<g, S v> = <S^T g, v> for every v, since sampling is linear in the volume."""
    volume, positions = _volume((5, 4, 3)), _positions((5, 4, 3), "borders")
    out, pull = jax.vjp(lambda v: _sample(v, positions), jnp.asarray(volume))
    g = np.random.default_rng(5).standard_normal(out.shape).astype(np.float32)
    (gradient,) = pull(jnp.asarray(g))
    np.testing.assert_allclose(np.vdot(g, out), np.vdot(gradient, volume), rtol=1e-4)
    weights = _weights(positions, np.array(list(np.ndindex(5, 4, 3)), np.float32))
    np.testing.assert_allclose(gradient.reshape(-1, 2), weights.T @ g, atol=1e-5)


def test_the_gradient_of_positions_is_the_slope():
    volume = _volume((5, 4, 3))
    positions = _positions((5, 4, 3), "outside") * 0.7
    cells = np.floor(positions)
    positions = np.clip(positions, cells + 0.1, cells + 0.9)  # No kink within the step below.
    gradient = jax.grad(lambda p: _sample(volume, p).sum())(jnp.asarray(positions))
    for axis in range(3):
        step = 0.01 * np.eye(3)[axis]
        up, down = (oracles.sample(volume, positions + s).sum(-1) for s in (step, -step))
        np.testing.assert_allclose(gradient[:, axis], (up - down) / 0.02, atol=1e-3)


def test_the_gradient_is_finite_on_centres_and_borders():
    volume, positions = _volume((5, 4, 3)), _positions((5, 4, 3), "centres")
    gradients = jax.grad(lambda v, p: _sample(v, p).sum(), argnums=(0, 1))(
        jnp.asarray(volume), jnp.asarray(positions)
    )
    assert all(np.all(np.isfinite(g)) for g in gradients)


def test_vmap_is_a_loop():
    volumes = np.stack([_volume((5, 4, 3), seed=s) for s in range(3)])
    positions = np.stack([_positions((5, 4, 3), "outside", seed=s) for s in range(3)])
    got = jax.vmap(trilinear.sample)(volumes, positions)
    for b in range(3):
        np.testing.assert_allclose(got[b], _sample(volumes[b], positions[b]), atol=1e-6)
