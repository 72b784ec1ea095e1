"""Reprojection: samples against SciPy, laws of poses, and planted colours."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from planted import ALL, CROSSED, INDEX, PART, SHAPE, SIDE, painted, run, stack, standing

from volsynth import metrics, skeleton
from volsynth.conventions import BACKGROUND
from volsynth.data import fake, pipeline
from volsynth.ops import geometry, keying, pose_volumes
from volsynth.ops.body import raster
from volsynth.ops.body.capsules import SLENDER
from volsynth.ops.reprojection import candidates, channels, sampling


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
    found = stack(
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
    found, source, _ = run(picture, pose, pose)
    there = np.asarray(found.target.part) != raster.NOBODY
    moved = found.candidates[0]
    np.testing.assert_allclose(stack(moved.rgba)[there], picture[there], atol=1e-3)
    assert np.asarray(moved.own)[there].mean() > 0.99
    inside = np.asarray(found.target.distance) < 0
    assert np.asarray(moved.seen)[inside].min() > 0.9
    np.testing.assert_allclose(found.normal, source.body.normal, atol=0.05)


def test_in_their_own_pose_people_look_like_themselves(tiny):
    """The picture without learning, of rendered people, within the outline of their capsules."""
    split = tiny.split("test")
    pairs = np.repeat(np.arange(2)[:, None], 2, axis=1)
    (batch,) = pipeline.evaluation_batches(split, pairs, 2)
    picture = keying.cut_out(jnp.asarray(batch["source_image"]), BACKGROUND)
    pose = jnp.asarray(batch["source_joints"])
    found, _, _ = run(picture, pose, pose, jnp.asarray(batch["source_visible"]), size=32)
    inside = (np.asarray(found.target.distance) < 0) & batch["source_mask"]
    composed, true = (
        stack(planes)[..., :3] for planes in (found.picture, sampling.planes(picture))
    )
    assert inside.mean() > 0.05
    similar = metrics.foreground_ssim(*map(jnp.asarray, (composed, true, inside)))
    # Of pictures of 32 pixels most windows reach over the outline, beyond which there is no hair.
    assert np.asarray(similar).min() > 0.96


def test_moving_the_target_moves_what_is_found(picture, pose):
    found, _, _ = run(picture, pose, pose)
    moved, _, _ = run(picture, pose, pose + np.array([5, -3, 0], np.float32))
    for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(found)):
        if a.ndim > 1:
            here, there = np.asarray(a)[:, 10:40, 15:50], np.asarray(b)[:, 13:43, 10:45]
            assert np.mean(np.abs(here - there) > 1e-2) < 0.02


def test_a_mirror_exchanges_left_and_right(picture, pose):
    target = jnp.asarray(fake.poses(4, SIDE)[2:])
    found, _, _ = run(picture, pose, target)
    reflect = functools.partial(geometry.mirrored_pose, visible=ALL, side=float(SIDE))
    other, _, _ = run(picture[:, :, ::-1], *(reflect(p)[0] for p in (pose, target)))
    for a, b in zip(found.candidates, other.candidates):
        agree = np.abs(stack(a.rgba) - stack(b.rgba)[:, :, ::-1]).max(-1) < 1e-2
        assert agree.mean() > 0.97
    parts = np.array((*skeleton.PART_MIRROR, raster.NOBODY))[np.asarray(other.target.part)]
    assert np.mean(parts[:, :, ::-1] == np.asarray(found.target.part)) > 0.98


def test_the_mirrored_candidate_is_that_of_the_mirrored_picture(picture, pose):
    target = jnp.asarray(fake.poses(4, SIDE)[2:])
    found, _, _ = run(picture, pose, target)
    mirrored, _ = geometry.mirrored_pose(pose, ALL, float(SIDE))
    other, _, _ = run(picture[:, :, ::-1], mirrored, target)
    jax.tree.map(
        lambda a, b: np.testing.assert_array_less(
            np.mean(np.abs(np.asarray(a) - np.asarray(b)) > 1e-2), 0.02
        ),
        found.candidates[1],
        other.candidates[0],
    )


def test_what_no_pose_places_is_empty_and_all_is_finite(picture, pose):
    visible = ALL.at[0].set(False).at[1, INDEX["left_wrist"]].set(False)
    found, source, means = run(picture, pose, pose, visible)
    leaves = jax.tree.leaves((found, source, means))
    assert all(np.all(np.isfinite(leaf)) for leaf in leaves)
    assert np.all(stack(found.picture)[0] == 0)
    assert not np.any(np.asarray(found.target.part)[1] == PART["left_lower_arm"])


# --- what is hidden ------------------------------------------------------------------------------


def test_what_an_arm_hides_in_the_source_is_not_seen():
    rgba = painted(CROSSED)
    found, _, means = run(rgba, CROSSED, standing(), ALL[:1])
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
    rgba = painted(CROSSED)
    found, _, _ = run(rgba, CROSSED, standing(), ALL[:1], visibility=False)
    moved = jax.device_get(found.candidates[0])
    assert moved.seen[0, 26, 32] == moved.own[0, 26, 32] == 1


def test_an_arm_before_the_body_is_before_it_in_the_target():
    rgba = painted(standing())
    found, _, _ = run(rgba, standing(), CROSSED, ALL[:1])
    arm, at = PART["right_lower_arm"], (0, 26, 34)
    moved, mirrored = found.candidates
    assert found.target.part[at] == arm
    np.testing.assert_allclose(moved.rgba[0][at], arm / 10, atol=0.02)
    np.testing.assert_allclose(mirrored.rgba[0][at], PART["left_lower_arm"] / 10, atol=0.02)
    # The source itself counts for more than its mirror image.
    assert abs(found.picture[0][at] - arm / 10) < 0.06


def test_a_part_that_the_source_hides_has_its_counterparts_mean():
    joints = standing()
    rgba = painted(joints)
    body = raster.raster(joints, ALL[:1], SHAPE, float(SIDE), SLENDER)
    gone = np.isin(np.asarray(body.part), [PART["left_lower_arm"], PART["torso"]])
    rgba = jnp.where(gone[..., None], 0, rgba)
    _, _, means = run(rgba, joints, joints, ALL[:1])
    np.testing.assert_allclose(
        means[0, PART["left_lower_arm"], 0], PART["right_lower_arm"] / 10, atol=0.03
    )
    assert means[0, PART["torso"], 0] == 0


# --- channels ------------------------------------------------------------------------------------


def test_the_channels_of_a_body_say_where_its_parts_are_and_how_deep():
    standing_body = raster.raster(standing(), ALL[:1], SHAPE, SIDE, SLENDER)
    scale = pose_volumes.person_scale(standing(), ALL[:1])
    shown = np.asarray(channels.body_channels(standing_body, scale, SIDE))
    assert shown.shape == (1, *SHAPE, 2 + skeleton.NUM_PARTS)
    covered = np.asarray(standing_body.distance) < -2
    part, outline = np.asarray(standing_body.part)[covered], shown[covered][:, 0]
    assert outline.min() > 0.9
    np.testing.assert_array_equal(shown[covered][:, 2:].argmax(-1), part)
    np.testing.assert_allclose(shown[covered][:, 2:].sum(-1), outline, rtol=1e-6)
    depth = (np.asarray(standing_body.depth) - SIDE / 2)[covered] / float(scale[0])
    np.testing.assert_allclose(shown[covered][:, 1], depth * outline, rtol=1e-5)
    assert not shown[np.asarray(standing_body.part) == raster.NOBODY][:, 1:].any()


@pytest.mark.slow
def test_channels_do_not_depend_on_the_size_of_the_person():
    rgba = painted(CROSSED)
    double = jnp.asarray(np.kron(rgba, np.ones((1, 2, 2, 1), np.float32)))
    found, _, _ = run(rgba, CROSSED, standing(), ALL[:1])
    small = np.asarray(channels.channels(found, 64.0))
    twice, _, _ = run(double, CROSSED * 2, standing() * 2, ALL[:1])
    large = np.asarray(channels.channels(twice, 128.0))
    assert small.shape[-1] == large.shape[-1]
    assert np.abs(small).max() <= 1.5
    assert np.mean(np.abs(small - large) > 0.1) < 0.03


@pytest.mark.slow
def test_no_gradient_flows_into_poses_or_pictures(picture, pose):
    def total(rgba, target):
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(run(rgba, pose, target)[0].candidates))

    of_rgba, of_pose = jax.grad(total, argnums=(0, 1))(picture, pose)
    assert np.all(np.asarray(of_rgba) == 0)
    assert np.all(np.asarray(of_pose) == 0)
    assert pose_volumes.person_scale(pose, ALL).min() > 0
