"""Capsule bodies and their rasters, against rays that are followed step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volsynth import skeleton
from volsynth.data import fake
from volsynth.ops import pose_volumes, tiles
from volsynth.ops.body import capsules, raster

SIDE = 64.0
SHAPE = (64, 64)
ALL = jnp.ones((2, 15), bool)
INDEX = skeleton.INDEX

_raster = jax.jit(raster.raster, static_argnums=(2, 3))
_capsules = jax.jit(capsules.capsules)
_scale = jax.jit(pose_volumes.person_scale)
_near = jax.jit(raster.near_tiles, static_argnums=(2, 3))


@pytest.fixture(scope="module")
def joints():
    """Two random poses in the middle of the image."""
    return jnp.asarray(fake.poses(2, int(SIDE)))


@pytest.fixture(scope="module")
def found(joints):
    return jax.device_get(_raster(joints, ALL, SHAPE, SIDE))


def _distance_to_axis(points, start, end):
    """Distances of points [n, 3] from a segment, in 3D, and the nearest points of it."""
    along = end - start
    t = np.clip((points - start) @ along / max(along @ along, 1e-12), 0, 1)
    nearest = start + t[:, None] * along
    return np.linalg.norm(points - nearest, axis=1), nearest


def _first_hit(body, b, x, y):
    """The first capsule that a ray along z meets, and where: steps of a hundredth of a pixel."""
    z = np.arange(-SIDE, 2 * SIDE, 0.01)
    points = np.stack([np.full_like(z, x), np.full_like(z, y), z], axis=1)
    hits = []
    for n in range(capsules.NUM_CAPSULES):
        distance, nearest = _distance_to_axis(points, body.start[b, n], body.end[b, n])
        inside = np.nonzero(distance <= body.radius[b, n])[0]
        if len(inside):
            first = inside[0]
            normal = points[first] - nearest[first]
            hits.append((z[first], capsules.PARTS[n], normal / np.linalg.norm(normal)))
    return min(hits, key=lambda hit: hit[0]) if hits else None


def _beside(body, b, x, y):
    """The distance of a pixel from the nearest outline, the part of it, and its axis' depth."""
    rows = []
    for n in range(capsules.NUM_CAPSULES):
        t = np.linspace(0, 1, 20001)[:, None]
        axis = body.start[b, n] + t * (body.end[b, n] - body.start[b, n])
        across = np.linalg.norm(axis[:, :2] - (x, y), axis=1)
        at = across.argmin()
        rows.append((across[at] - body.radius[b, n], capsules.PARTS[n], axis[at, 2]))
    return min(rows, key=lambda row: row[0])


def test_pixels_show_what_their_rays_meet_first(joints, found):
    body = jax.device_get(_capsules(joints, ALL))
    rng = np.random.default_rng(0)
    within = beside = 0
    for b, row, column in rng.integers((0, 0, 0), (2, 64, 64), size=(150, 3)):
        x, y = column + 0.5, row + 0.5
        at = (b, row, column)
        distance, part, depth = _beside(body, b, x, y)
        if abs(distance) < 0.05 or abs(distance - raster.REACH * _scale(joints, ALL)[b]) < 0.05:
            continue
        hit = _first_hit(body, b, x, y)
        assert (hit is not None) == (distance < 0) == (found.distance[at] < 0)
        if hit is not None:
            within += 1
            assert abs(found.depth[at] - hit[0]) < 0.05
            assert found.part[at] == hit[1]
            np.testing.assert_allclose([v[at] for v in found.normal], hit[2], atol=0.05)
        elif found.part[at] != raster.NOBODY:
            beside += 1
            np.testing.assert_allclose(found.distance[at], distance, atol=1e-3)
            assert found.part[at] == part
            assert abs(found.depth[at] - depth) < 0.05
        else:
            assert distance > raster.REACH * _scale(joints, ALL)[b]
    assert within > 10
    assert beside > 10


def test_normals_are_unit_vectors_that_look_at_the_camera(found):
    there = found.part != raster.NOBODY
    normal = np.stack(found.normal, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(normal[there], axis=-1), 1, atol=1e-4)
    assert normal[..., 2].max() <= 0
    assert np.all(normal[~there] == 0)
    # Beside the body the nearest outline is across the image.
    assert np.all(normal[there & (found.distance >= 0)][:, 2] == 0)


def test_a_raster_of_twice_the_size_shows_the_same_body(joints, found):
    other = jax.device_get(_raster(joints, ALL, (128, 128), SIDE))
    inside = other.distance < 0
    np.testing.assert_allclose(np.mean(inside), np.mean(found.distance < 0), rtol=0.03)
    # Of the four pixels in the place of one.
    agree = [np.mean(other.part[:, i::2, j::2] == found.part) for i in (0, 1) for j in (0, 1)]
    assert min(agree) > 0.93


def test_the_body_moves_with_its_pose(joints, found):
    moved = _raster(joints + jnp.array([16.0, 0, 5]), ALL, SHAPE, SIDE)
    np.testing.assert_array_equal(moved.part[:, :, 16:], found.part[:, :, :-16])
    there = found.part[:, :, :-16] != raster.NOBODY
    np.testing.assert_allclose(
        np.asarray(moved.depth)[:, :, 16:][there], found.depth[:, :, :-16][there] + 5, atol=1e-3
    )


def test_a_part_without_its_joints_is_not_there(joints, found):
    visible = ALL.at[0, INDEX["left_wrist"]].set(False)
    other = _raster(joints, visible, SHAPE, SIDE)
    arm = skeleton.PART_NAMES.index("left_lower_arm")
    assert np.any(found.part[0] == arm)
    assert not np.any(other.part[0] == arm)
    np.testing.assert_array_equal(other.part[1], found.part[1])
    nobody = _raster(joints, jnp.zeros_like(ALL), SHAPE, SIDE)
    assert np.all(np.asarray(nobody.part) == raster.NOBODY)
    assert all(np.all(np.isfinite(value)) for value in jax.tree.leaves(nobody))


def test_an_arm_towards_the_camera_is_a_ball_and_finite():
    joints = fake.poses(1, int(SIDE))
    joints[0, INDEX["right_elbow"]] = joints[0, INDEX["right_shoulder"]] - (0, 0, 8)
    joints[0, INDEX["right_wrist"]] = joints[0, INDEX["right_elbow"]] - (0, 0, 8)
    found = jax.device_get(_raster(joints, ALL[:1], SHAPE, SIDE))
    assert all(np.all(np.isfinite(value)) for value in jax.tree.leaves(found))
    x, y, z = joints[0, INDEX["right_wrist"]]
    assert skeleton.PART_NAMES[found.part[0, int(y), int(x)]] == "right_lower_arm"
    assert found.depth[0, int(y), int(x)] < z


@pytest.mark.parametrize("size", [64, 128])
def test_no_tile_leaves_out_a_capsule_that_is_seen_in_it(joints, size):
    """The same raster as with every capsule in every tile."""
    shape = (size, size)
    some = jax.device_get(_near(_capsules(joints, ALL), _reach(joints), shape, SIDE))
    # Tiles are left out, and so are most capsules of the others.
    assert 0 < np.mean(some.count == 0) < 1
    assert 1 < some.count[some.count > 0].mean() < 8
    every = raster.Near(*(np.full_like(v, n) for v, n in zip(some, (0, capsules.NUM_CAPSULES))))
    every.order[:] = np.arange(capsules.NUM_CAPSULES)
    whole = jax.jit(_cast, static_argnums=2)(joints, every, shape)
    found = _raster(joints, ALL, shape, SIDE)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), found, whole)


def _reach(joints):
    return raster.REACH * _scale(joints, ALL)


def _cast(joints, near, shape):
    """The raster with these capsules in the tiles."""
    body, reach = (
        capsules.capsules(joints, ALL),
        raster.REACH * pose_volumes.person_scale(joints, ALL),
    )
    stages = [lambda pixels, _: raster.cast(body, reach, near, pixels)[0]]
    return tiles.compute(stages, near.count, shape, SIDE, [raster.empty()])[0]


def test_what_is_attached_is_that_of_the_part_in_front(joints, found):
    values = jnp.arange(20.0).reshape(2, 10)
    body, reach = _capsules(joints, ALL), _reach(joints)
    near = _near(body, reach, SHAPE, SIDE)

    def attach(pick, depth, x, y):
        return {"value": pick(values) + 0 * x, "at": x + 100 * y + 10_000 * depth}

    def stage(pixels, _):
        return raster.cast(body, reach, near, pixels, attach)

    empty = (raster.empty(), {"value": jnp.float32(0), "at": jnp.float32(0)})
    compute = jax.jit(lambda: tiles.compute([stage], near.count, SHAPE, SIDE, [empty])[0])
    body, attached = jax.device_get(compute())
    there = found.part != raster.NOBODY
    assert np.all(body.part == found.part)
    rows = np.append(np.asarray(values), [[0], [0]], axis=1)
    wanted = np.stack([row[part] for row, part in zip(rows, found.part)])
    np.testing.assert_array_equal(attached["value"], wanted)
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    at = np.where(there, x + 100 * y + 10_000 * found.depth, 0)
    np.testing.assert_allclose(attached["at"], at, rtol=1e-5)
