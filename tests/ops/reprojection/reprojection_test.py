"""Reprojection: samples against SciPy, laws of poses, and planted colours."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from volsynth import skeleton
from volsynth.data import fake
from volsynth.ops import geometry, pose_volumes, tiles
from volsynth.ops.body import raster
from volsynth.ops.reprojection import (
    candidates,
    channels,
    composition,
    enlarging,
    mixing,
    reprojection,
    sampling,
)

SIDE = 64
SHAPE = (SIDE, SIDE)
ALL = jnp.ones((2, 15), bool)
INDEX = skeleton.INDEX
PART = {name: i for i, name in enumerate(skeleton.PART_NAMES)}


@functools.partial(jax.jit, static_argnames=("visibility", "size"))
def _run(rgba, source, target, visible=ALL, visibility=True, size=SIDE):
    """The reprojection of a picture, and the views it is made of."""
    side = float(rgba.shape[2])
    made = candidates.make_source(rgba, source, visible, side)
    views = candidates.views([made], [(source, visible)], (target, visible), side)
    means = composition.part_means([made])
    found = reprojection.reproject(
        views, means, target, visible, (size, size), side, visibility=visibility
    )
    return found, made, means


def _stack(planes):
    """Planes as an array whose last axis they are."""
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


@pytest.fixture(scope="module")
def pose():
    return jnp.asarray(fake.poses(2, SIDE))


def test_the_views_of_several_pictures_are_those_of_each(pose):
    """Every picture is looked at directly and then in a mirror, with the same transforms."""
    other = pose[::-1]
    target = (pose + 1.0, ALL)
    # What is in the sources does not matter to their views.
    both, poses = (
        [candidates.Source(*"abcd"), candidates.Source(*"efgh")],
        [(pose, ALL), (other, ALL)],
    )
    together = candidates.views(both, poses, target, float(SIDE))
    assert [view.mirrored for view in together] == [False, True, False, True]
    alone = []
    for one, at in zip(both, poses):
        alone += candidates.views([one], [at], target, float(SIDE))
    for found, wanted in zip(together, alone, strict=True):
        assert found.source == wanted.source
        for one, the_same in zip(found.transforms, wanted.transforms, strict=True):
            np.testing.assert_allclose(one, the_same, atol=1e-4)


@pytest.fixture(scope="module")
def picture(pose):
    """Smooth colours, opaque everywhere."""
    rng = np.random.default_rng(0)
    colours = scipy.ndimage.gaussian_filter(rng.standard_normal((2, 64, 64, 3)), (0, 2, 2, 0))
    alpha = np.ones((2, 64, 64, 1))
    return jnp.asarray(np.concatenate([np.clip(4 * colours, -1, 1), alpha], axis=-1), jnp.float32)


# --- sampling ------------------------------------------------------------------------------------


def test_bilinear_samples_are_those_of_scipy():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, 9, 12, 3)).astype(np.float32)
    x, y = (rng.uniform(-2, size + 2, (2, 50)).astype(np.float32) for size in (12, 9))
    found = _stack(
        sampling.bilinear(sampling.planes(jnp.asarray(images)), jnp.asarray(x), jnp.asarray(y))
    )
    for b in range(2):
        for c in range(3):
            wanted = scipy.ndimage.map_coordinates(
                images[b, ..., c], [y[b] - 0.5, x[b] - 0.5], order=1, mode="grid-constant"
            )
            np.testing.assert_allclose(found[b, :, c], wanted, atol=1e-5)


def test_the_nearest_pixel_is_the_one_that_a_point_lies_in():
    images = jnp.arange(12.0).reshape(1, 3, 4)
    x = jnp.array([[0.1, 3.9, 2.0, -5.0, 9.0]])
    y = jnp.array([[0.9, 2.1, 1.0, 1.5, -3.0]])
    found = sampling.nearest((images, -images), x, y)
    np.testing.assert_array_equal(found[0][0], [0, 11, 6, 4, 3])
    np.testing.assert_array_equal(found[1], -found[0])


# --- laws of poses -------------------------------------------------------------------------------


def test_in_its_own_pose_a_picture_is_given_back(picture, pose):
    found, source, _ = _run(picture, pose, pose)
    there = np.asarray(found.target.part) != raster.NOBODY
    moved = found.candidates[0]
    np.testing.assert_allclose(_stack(moved.rgba)[there], picture[there], atol=1e-3)
    assert np.asarray(moved.own)[there].mean() > 0.99
    inside = np.asarray(found.target.distance) < 0
    assert np.asarray(moved.seen)[inside].min() > 0.9
    np.testing.assert_allclose(found.normal, source.body.normal, atol=0.05)


def test_moving_the_target_moves_what_is_found(picture, pose):
    found, _, _ = _run(picture, pose, pose)
    moved, _, _ = _run(picture, pose, pose + np.array([5, -3, 0], np.float32))
    for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(found)):
        if a.ndim > 1:
            here, there = np.asarray(a)[:, 10:40, 15:50], np.asarray(b)[:, 13:43, 10:45]
            assert np.mean(np.abs(here - there) > 1e-2) < 0.02


def test_a_mirror_exchanges_left_and_right(picture, pose):
    target = jnp.asarray(fake.poses(4, SIDE)[2:])
    found, _, _ = _run(picture, pose, target)
    reflect = functools.partial(geometry.mirrored_pose, visible=ALL, side=float(SIDE))
    other, _, _ = _run(picture[:, :, ::-1], *(reflect(p)[0] for p in (pose, target)))
    for a, b in zip(found.candidates, other.candidates):
        agree = np.abs(_stack(a.rgba) - _stack(b.rgba)[:, :, ::-1]).max(-1) < 1e-2
        assert agree.mean() > 0.97
    parts = np.array((*skeleton.PART_MIRROR, raster.NOBODY))[np.asarray(other.target.part)]
    assert np.mean(parts[:, :, ::-1] == np.asarray(found.target.part)) > 0.98


def test_the_mirrored_candidate_is_that_of_the_mirrored_picture(picture, pose):
    target = jnp.asarray(fake.poses(4, SIDE)[2:])
    found, _, _ = _run(picture, pose, target)
    mirrored, _ = geometry.mirrored_pose(pose, ALL, float(SIDE))
    other, _, _ = _run(picture[:, :, ::-1], mirrored, target)
    jax.tree.map(
        lambda a, b: np.testing.assert_array_less(
            np.mean(np.abs(np.asarray(a) - np.asarray(b)) > 1e-2), 0.02
        ),
        found.candidates[1],
        other.candidates[0],
    )


def test_what_no_pose_places_is_empty_and_all_is_finite(picture, pose):
    visible = ALL.at[0].set(False).at[1, INDEX["left_wrist"]].set(False)
    found, source, means = _run(picture, pose, pose, visible)
    leaves = jax.tree.leaves((found, source, means))
    assert all(np.all(np.isfinite(leaf)) for leaf in leaves)
    assert np.all(_stack(found.picture)[0] == 0)
    assert not np.any(np.asarray(found.target.part)[1] == PART["left_lower_arm"])


# --- what is hidden ------------------------------------------------------------------------------

STANDING = {
    **{"head_top": (32, 4), "head": (32, 8), "neck": (32, 14)},
    **{"right_shoulder": (26, 16), "right_elbow": (15, 16), "right_wrist": (5, 16)},
    **{"left_shoulder": (38, 16), "left_elbow": (49, 16), "left_wrist": (59, 16)},
    **{"right_hip": (28, 34), "right_knee": (25, 46), "right_ankle": (22, 57)},
    **{"left_hip": (36, 34), "left_knee": (39, 46), "left_ankle": (42, 57)},
}
"""Seen from the front, arms level."""


def _standing(**moved):
    places = {name: (*at, 32) for name, at in STANDING.items()} | moved
    return jnp.array([[places[name] for name in skeleton.JOINTS]], jnp.float32)


CROSSED = _standing(right_elbow=(24, 26, 22), right_wrist=(38, 26, 20))
"""The right arm before the trunk."""


def _painted(joints):
    """A picture in which every part has its own grey, and nothing is beside the body."""
    body = raster.raster(joints, ALL[:1], SHAPE, float(SIDE))
    inside = np.asarray(body.distance) < 0
    grey = np.where(inside, np.asarray(body.part) / 10, 0)[..., None]
    return jnp.asarray(np.concatenate([grey] * 3 + [inside[..., None]], axis=-1), jnp.float32)


def test_what_an_arm_hides_in_the_source_is_not_seen():
    rgba = _painted(CROSSED)
    found, _, means = _run(rgba, CROSSED, _standing(), ALL[:1])
    moved = jax.device_get(found.candidates[0])
    # In the source the arm is before this point of the torso; at another one nothing is.
    assert found.target.part[0, 26, 32] == found.target.part[0, 31, 32] == PART["torso"]
    assert moved.seen[0, 26, 32] < 0.1
    assert moved.own[0, 26, 32] == 0
    assert moved.seen[0, 31, 32] > 0.9
    assert moved.own[0, 31, 32] == 1
    np.testing.assert_allclose(moved.rgba[0][0, 26, 32], PART["right_lower_arm"] / 10, atol=0.01)
    # The picture does not show it either: it takes what else there is of the torso.
    np.testing.assert_allclose(found.picture[0][0, 26, 32], PART["torso"] / 10, atol=0.03)
    wanted = np.arange(10) / 10
    np.testing.assert_allclose(means[0, :, 0], wanted, atol=0.02)


@pytest.mark.slow
def test_without_visibility_all_is_taken_as_seen():
    rgba = _painted(CROSSED)
    found, _, _ = _run(rgba, CROSSED, _standing(), ALL[:1], visibility=False)
    moved = jax.device_get(found.candidates[0])
    assert moved.seen[0, 26, 32] == moved.own[0, 26, 32] == 1


def test_an_arm_before_the_body_is_before_it_in_the_target():
    rgba = _painted(_standing())
    found, _, _ = _run(rgba, _standing(), CROSSED, ALL[:1])
    arm, at = PART["right_lower_arm"], (0, 26, 34)
    moved, mirrored = found.candidates
    assert found.target.part[at] == arm
    np.testing.assert_allclose(moved.rgba[0][at], arm / 10, atol=0.02)
    np.testing.assert_allclose(mirrored.rgba[0][at], PART["left_lower_arm"] / 10, atol=0.02)
    # The source itself counts for more than its mirror image.
    assert abs(found.picture[0][at] - arm / 10) < 0.06


def test_a_part_that_the_source_hides_has_its_counterparts_mean():
    joints = _standing()
    rgba = _painted(joints)
    body = raster.raster(joints, ALL[:1], SHAPE, float(SIDE))
    gone = np.isin(np.asarray(body.part), [PART["left_lower_arm"], PART["torso"]])
    rgba = jnp.where(gone[..., None], 0, rgba)
    _, _, means = _run(rgba, joints, joints, ALL[:1])
    np.testing.assert_allclose(
        means[0, PART["left_lower_arm"], 0], PART["right_lower_arm"] / 10, atol=0.03
    )
    assert means[0, PART["torso"], 0] == 0


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
    found, _, _ = _run(_painted(CROSSED), CROSSED, _standing(), ALL[:1])
    pixels = [c.rgba for c in found.candidates]
    mixed = _stack(mixing.mix(_fields(choice), pixels, found.mean, found.target.part))
    there = np.asarray(found.target.part) != raster.NOBODY
    assert np.all(mixed[~there] == mixing.NOTHING)
    np.testing.assert_allclose(mixed[there][:, 3], 1)
    colours = [*(mixing.colour_and_alpha(p)[0] for p in pixels), found.mean]
    colour = _stack(colours[choice]) if choice < 3 else np.full((*there.shape, 3), 0.5)
    covered = np.ones_like(there) if choice > 1 else np.asarray(pixels[choice][3]) > 0.5
    np.testing.assert_allclose(mixed[there & covered][:, :3], colour[there & covered], atol=1e-4)


def test_a_candidate_that_covers_nothing_has_no_weight():
    empty = (jnp.zeros((1, SIDE, SIDE)),) * 4
    found, _, _ = _run(_painted(CROSSED), CROSSED, _standing(), ALL[:1])
    fields = _fields(0)._replace(logits=jnp.zeros((1, SIDE, SIDE, 4)))
    mixed = mixing.mix(fields, [empty, empty], found.mean, found.target.part)
    there = np.asarray(found.target.part) != raster.NOBODY
    halfway = (_stack(found.mean) + 0.5) / 2
    np.testing.assert_allclose(_stack(mixed)[there][:, :3], halfway[there], atol=1e-3)


def test_the_gain_is_of_the_distance_from_black():
    found, _, _ = _run(_painted(CROSSED), CROSSED, _standing(), ALL[:1])
    pixels = [c.rgba for c in found.candidates]
    mixed = mixing.mix(_fields(3, gain=-0.4), pixels, found.mean, found.target.part)
    there = np.asarray(found.target.part) != raster.NOBODY
    np.testing.assert_allclose(_stack(mixed)[there][:, :3], 1.5 * np.exp(-0.4) - 1, atol=1e-5)


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
    small, large = _standing(), _standing() * 2
    crossed = CROSSED * 2
    rgba = _painted(CROSSED)
    double = jnp.asarray(np.kron(rgba, np.ones((1, 2, 2, 1), np.float32)))

    def views(picture, source, target):
        side = float(picture.shape[2])
        made = candidates.make_source(picture, source, ALL[:1], side)
        found = candidates.views([made], [(source, ALL[:1])], (target, ALL[:1]), side)
        return found, composition.part_means([made])

    fields = _fields(choice)
    pictures, (seen, means) = [sampling.planes(rgba)] * 2, views(rgba, CROSSED, small)
    same = enlarging.mix_enlarged(fields, pictures, seen, means, small, ALL[:1], 64.0)
    found, _, _ = _run(rgba, CROSSED, small, ALL[:1])
    wanted = mixing.mix(fields, [c.rgba for c in found.candidates], found.mean, found.target.part)
    np.testing.assert_allclose(same, wanted, atol=1e-4)

    pictures, (seen, means) = [sampling.planes(double)] * 2, views(double, crossed, large)
    twice = enlarging.mix_enlarged(fields, pictures, seen, means, large, ALL[:1], 128.0)
    assert twice[0].shape == (1, 128, 128)
    found, _, _ = _run(double, crossed, large, ALL[:1], size=128)
    wanted = mixing.mix(
        _fields(choice, 128), [c.rgba for c in found.candidates], found.mean, found.target.part
    )
    np.testing.assert_allclose(twice, wanted, atol=1e-3)


# --- channels ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_channels_do_not_depend_on_the_size_of_the_person():
    rgba = _painted(CROSSED)
    double = jnp.asarray(np.kron(rgba, np.ones((1, 2, 2, 1), np.float32)))
    found, _, _ = _run(rgba, CROSSED, _standing(), ALL[:1])
    small = np.asarray(channels.channels(found, 64.0))
    twice, _, _ = _run(double, CROSSED * 2, _standing() * 2, ALL[:1])
    large = np.asarray(channels.channels(twice, 128.0))
    assert small.shape[-1] == large.shape[-1]
    assert np.abs(small).max() <= 1.5
    assert np.mean(np.abs(small - large) > 0.1) < 0.03


@pytest.mark.slow
def test_no_gradient_flows_into_poses_or_pictures(picture, pose):
    def total(rgba, target):
        return sum(
            jnp.sum(leaf) for leaf in jax.tree.leaves(_run(rgba, pose, target)[0].candidates)
        )

    of_rgba, of_pose = jax.grad(total, argnums=(0, 1))(picture, pose)
    assert np.all(np.asarray(of_rgba) == 0)
    assert np.all(np.asarray(of_pose) == 0)
    assert pose_volumes.person_scale(pose, ALL).min() > 0
