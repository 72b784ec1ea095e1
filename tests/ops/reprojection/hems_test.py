"""Hems: means of the rings around parts, against a loop over pixels, and where they are put."""

import jax.numpy as jnp
import numpy as np
import pytest
from planted import ALL, PART, SIDE, stack, standing

from volsynth import skeleton
from volsynth.ops.body import raster
from volsynth.ops.reprojection import candidates, composition, hems


@pytest.fixture(scope="module")
def source():
    """A standing person in noise, of whom nothing is known below the right knee."""
    rng = np.random.default_rng(0)
    rgba = jnp.asarray(rng.uniform(0, 1, (1, SIDE, SIDE, 4)), jnp.float32)
    known = ALL[:1].at[0, skeleton.INDEX["right_ankle"]].set(False)
    return candidates.make_source(rgba, standing(), known, float(SIDE))


def _ring(distance, scale):
    """The ring in which a distance lies, by its definition."""
    (found,) = [
        n
        for n, (low, high) in enumerate(zip(hems.EDGES, hems.EDGES[1:]))
        if low * scale <= distance < high * scale
        or (n == hems.RINGS - 1 and distance >= high * scale)
    ]
    return found


def test_a_ring_has_the_mean_of_its_pixels(source):
    part, distance = (np.asarray(v)[0] for v in (source.body.part, source.body.distance))
    rgba, scale = stack(source.rgba)[0], float(source.scale[0])
    pixels = {}
    for row, column in np.ndindex(part.shape):
        if part[row, column] != raster.NOBODY and distance[row, column] >= 0:
            key = part[row, column], _ring(distance[row, column], scale)
            pixels.setdefault(key, []).append(rgba[row, column])
    found = np.asarray(hems.ring_means([source]))[0].reshape(skeleton.NUM_PARTS, hems.RINGS, 4)
    checked = 0
    for p, n in np.ndindex(skeleton.NUM_PARTS, hems.RINGS):
        here, there = (pixels.get((q, n), []) for q in (p, skeleton.PART_MIRROR[p]))
        if not here and not there:
            np.testing.assert_array_equal(found[p, n], 0)
            continue
        share = len(here) / (len(here) + composition.MIRROR_SHARE * len(there))
        mean, other = (np.mean(v, axis=0) if v else np.zeros(4) for v in (here, there))
        np.testing.assert_allclose(found[p, n], share * mean + (1 - share) * other, atol=1e-5)
        checked += 1
    assert checked > 30
    # The lower leg that is not to be seen has the rings of the other one.
    np.testing.assert_array_equal(found[PART["right_lower_leg"]], found[PART["left_lower_leg"]])


def test_two_sources_have_the_mean_of_both(source):
    other = source._replace(rgba=tuple(1 - plane for plane in source.rgba))
    both = np.asarray(hems.ring_means([source, other]))
    there = np.abs(np.asarray(hems.ring_means([source]))).sum(axis=-1) > 0
    np.testing.assert_allclose(both[there], 0.5, atol=1e-5)


def test_around_a_part_there_is_what_its_ring_holds(source):
    rows = skeleton.NUM_PARTS * hems.RINGS
    means = jnp.arange(1.0, rows + 1)[None, :, None] * jnp.array([1, 2, 3, 4])
    found = stack(hems.around(means, source.body, source.scale))[0]
    part, distance = (np.asarray(v)[0] for v in (source.body.part, source.body.distance))
    scale = float(source.scale[0])
    for row, column in np.ndindex(part.shape):
        beside = part[row, column] != raster.NOBODY and distance[row, column] >= 0
        wanted = 0
        if beside:
            wanted = part[row, column] * hems.RINGS + _ring(distance[row, column], scale) + 1
        np.testing.assert_allclose(found[row, column], wanted * np.array([1, 2, 3, 4]))
