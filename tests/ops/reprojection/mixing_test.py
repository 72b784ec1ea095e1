"""Mixing of candidates: the fields of a network, flows, and pictures larger than the network's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from planted import ALL, CROSSED, SIDE, painted, run, stack, standing

from volsynth.data import fake
from volsynth.ops import tiles
from volsynth.ops.body import raster
from volsynth.ops.reprojection import candidates, composition, enlarging, mixing, sampling


@pytest.fixture(scope="module")
def pose():
    return jnp.asarray(fake.poses(2, SIDE))


# --- mixing --------------------------------------------------------------------------------------


def _fields(choice, size=SIDE, candidates=3, gain=0.0):
    """Fields that choose one of the candidates, or the paint, with all covered."""
    logits = np.full((1, size, size, candidates + 1), -30.0, np.float32)
    logits[..., choice] = 30
    rest = np.zeros((1, size, size, 1), np.float32)
    paint = np.full((1, size, size, 3), np.arctanh(0.5), np.float32)
    return jax.tree.map(jnp.asarray, mixing.Fields(logits, paint, rest + 20, rest + gain))


@pytest.mark.parametrize("choice", [0, 1, 2, 3])
def test_the_largest_weight_takes_all(choice):
    found, _, _ = run(painted(CROSSED), CROSSED, standing(), ALL[:1])
    pixels = [c.rgba for c in found.candidates]
    mixed = stack(mixing.mix(_fields(choice), pixels, found.mean, found.target.part))
    there = np.asarray(found.target.part) != raster.NOBODY
    assert np.all(mixed[~there] == mixing.NOTHING)
    np.testing.assert_allclose(mixed[there][:, 3], 1)
    colours = [*(mixing.colour_and_alpha(p)[0] for p in pixels), found.mean]
    colour = stack(colours[choice]) if choice < 3 else np.full((*there.shape, 3), 0.5)
    covered = np.ones_like(there) if choice > 1 else np.asarray(pixels[choice][3]) > 0.5
    np.testing.assert_allclose(mixed[there & covered][:, :3], colour[there & covered], atol=1e-4)


def test_a_candidate_that_covers_nothing_has_no_weight():
    empty = (jnp.zeros((1, SIDE, SIDE)),) * 4
    found, _, _ = run(painted(CROSSED), CROSSED, standing(), ALL[:1])
    fields = _fields(0)._replace(logits=jnp.zeros((1, SIDE, SIDE, 4)))
    mixed = mixing.mix(fields, [empty, empty], found.mean, found.target.part)
    there = np.asarray(found.target.part) != raster.NOBODY
    halfway = (stack(found.mean) + 0.5) / 2
    np.testing.assert_allclose(stack(mixed)[there][:, :3], halfway[there], atol=1e-3)


def test_the_gain_is_of_the_distance_from_black():
    found, _, _ = run(painted(CROSSED), CROSSED, standing(), ALL[:1])
    pixels = [c.rgba for c in found.candidates]
    mixed = mixing.mix(_fields(3, gain=-0.4), pixels, found.mean, found.target.part)
    there = np.asarray(found.target.part) != raster.NOBODY
    np.testing.assert_allclose(stack(mixed)[there][:, :3], 1.5 * np.exp(-0.4) - 1, atol=1e-5)


# --- flow ----------------------------------------------------------------------------------------


def test_a_flow_moves_the_points_by_a_share_of_the_most(pose):
    found, _, _ = run(jnp.ones((2, SIDE, SIDE, 4)), pose, pose)
    assert candidates.flowed(found.moved, None, jnp.ones(2)) == list(found.moved)
    flow = jnp.broadcast_to(jnp.array([0.5, -1.0, 40.0, 0.0]), (2, SIDE, SIDE, 4))
    most = jnp.array([2.0, 3.0])
    for k, (at, way) in enumerate(zip(found.moved, [(0.5, -1.0), (40.0, 0.0)])):
        there = candidates.flowed(found.moved, flow, most)[k]
        for axis in range(2):
            wanted = np.asarray(at[axis]) + np.tanh(way[axis]) * np.array([2, 3])[:, None, None]
            np.testing.assert_allclose(there[axis], wanted, atol=1e-4)
        np.testing.assert_array_equal(there.depth, at.depth)


def test_the_gradient_of_a_flow_is_the_slope_of_the_picture(pose):
    """In a picture that gets brighter to the right, a step to the right is as much brighter."""
    found, _, _ = run(jnp.ones((2, SIDE, SIDE, 4)), pose, pose)
    ramp = jnp.broadcast_to(
        0.01 * jnp.arange(SIDE) + 0.0 * jnp.arange(SIDE)[:, None], (2, SIDE, SIDE)
    )
    at, most = found.moved[0], jnp.array([2.0, 2.0])

    def brightness(flow):
        (there,) = candidates.flowed([at], flow, most)
        return candidates.moved_pixels((ramp,), there, float(SIDE))[0].sum()

    flow = jnp.full((2, SIDE, SIDE, 2), 0.3)
    slope = np.asarray(jax.grad(brightness)(flow))
    inside = np.asarray(found.target.distance) < 0
    wanted = 0.01 * 2 * (1 - np.tanh(0.3) ** 2)
    np.testing.assert_allclose(slope[inside][:, 0], wanted, rtol=1e-3)
    np.testing.assert_allclose(slope[inside][:, 1], 0, atol=1e-6)


# --- larger pictures -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 80, 256])
def test_fields_are_enlarged_as_cubic_splines_are(size):
    field = np.random.default_rng(0).standard_normal((1, 64, 64, 2)).astype(np.float32)
    count = (size // tiles.SIZE) ** 2
    found = tiles.compute(
        [lambda pixels, _: enlarging.enlarge(jnp.asarray(field), pixels, size, 100.0)],
        jnp.ones((1, count), int),
        (size, size),
        100.0,
        [jnp.zeros(2)],
    )[0]
    wanted = jax.image.resize(field, (1, size, size, 2), "cubic", antialias=False)
    edge = 2 * size // 64
    inner = (slice(None), slice(edge, -edge), slice(edge, -edge))
    np.testing.assert_allclose(found[inner], wanted[inner], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("choice", [0, 2, 3])
def test_a_large_picture_is_mixed_like_a_small_one(choice):
    """Enlarged fields mix a picture of their size, or of twice it, as fields of its own size do."""
    small, large = standing(), standing() * 2
    crossed = CROSSED * 2
    rgba = painted(CROSSED)
    double = jnp.asarray(np.kron(rgba, np.ones((1, 2, 2, 1), np.float32)))

    def views(picture, source, target):
        side = float(picture.shape[2])
        made = candidates.make_source(picture, source, ALL[:1], side)
        found = candidates.views([made], [(source, ALL[:1])], (target, ALL[:1]), side)
        return found, composition.part_means([made])

    fields = _fields(choice)
    pictures, (seen, means) = [sampling.planes(rgba)] * 2, views(rgba, CROSSED, small)
    same = enlarging.mix_enlarged(fields, pictures, seen, means, small, ALL[:1], 64.0)
    found, _, _ = run(rgba, CROSSED, small, ALL[:1])
    wanted = mixing.mix(fields, [c.rgba for c in found.candidates], found.mean, found.target.part)
    np.testing.assert_allclose(same, wanted, atol=1e-4)

    # With a flow, the same pixels are found a little way off.
    far = fields._replace(flow=jnp.full((1, SIDE, SIDE, 4), 0.5))
    arguments = (pictures, seen, means, small, ALL[:1], 64.0)
    off = enlarging.mix_enlarged(far, *arguments, flow=0.1)
    places = candidates.flowed(found.moved, far.flow, 0.1 * found.scale)
    pixels = [candidates.moved_pixels(p, at, 64.0) for p, at in zip(pictures, places)]
    wanted = mixing.mix(far, pixels, found.mean, found.target.part)
    np.testing.assert_allclose(off, wanted, atol=1e-3)

    pictures, (seen, means) = [sampling.planes(double)] * 2, views(double, crossed, large)
    twice = enlarging.mix_enlarged(fields, pictures, seen, means, large, ALL[:1], 128.0)
    assert twice[0].shape == (1, 128, 128)
    found, _, _ = run(double, crossed, large, ALL[:1], size=128)
    wanted = mixing.mix(
        _fields(choice, 128), [c.rgba for c in found.candidates], found.mean, found.target.part
    )
    np.testing.assert_allclose(twice, wanted, atol=1e-3)
