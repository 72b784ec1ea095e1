"""Views of volumes against slow loops, what stands where in them, and what changes nothing."""

import math
import statistics

import jax.numpy as jnp
import numpy as np
import pytest

from volsynth.diagnostics import volume_views
from volsynth.errors import UserError
from volsynth.skeleton import NUM_PARTS

H, W, D = 4, 5, 3


def _volume(channels=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((H, W, D, channels)).astype(np.float32)


def _masks(parts, seed=0, share=0.05):
    return np.random.default_rng(seed).uniform(size=(parts, H, W, D)) < share


# --- volumes -------------------------------------------------------------------------------------


def _slow_views(volume):
    """Voxel by voxel; the front of the volume at the left of the side, at the bottom of the top."""
    height, width, depth, channels = volume.shape
    total = None
    for c in range(channels):
        x = volume[..., c].tolist()
        front = [[statistics.pstdev(x[h][w]) for w in range(width)] for h in range(height)]
        side = [
            [statistics.pstdev(x[h][w][d] for w in range(width)) for d in range(depth)]
            for h in range(height)
        ]
        top = [
            [statistics.pstdev(x[h][w][d] for h in range(height)) for w in range(width)]
            for d in reversed(range(depth))
        ]
        values = [value for view in (front, side, top) for row in view for value in row]
        low, high = min(values), max(values)
        scaled = [(np.array(view) - low) / (high - low) / channels for view in (front, side, top)]
        total = scaled if total is None else [a + b for a, b in zip(total, scaled)]
    return dict(zip(("front", "side", "top"), total))


def test_views_are_those_of_a_slow_loop():
    volume = _volume(channels=3)
    wanted = _slow_views(volume)
    found = volume_views.volume_views(volume)
    assert tuple(found) == tuple(wanted) == volume_views.VIEWS
    assert [found[name].shape for name in volume_views.VIEWS] == [(H, W), (H, D), (D, W)]
    for name in volume_views.VIEWS:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-6)


@pytest.mark.parametrize(("h", "w", "d"), [(0, 1, 0), (3, 4, 2), (1, 0, 1)])
def test_a_bright_voxel_is_in_its_place_in_all_three(h, w, d):
    volume = np.zeros((H, W, D, 1), np.float32)
    volume[h, w, d] = 1
    places = {"front": (h, w), "side": (h, d), "top": (D - 1 - d, w)}
    for name, view in volume_views.volume_views(volume).items():
        assert [tuple(place) for place in np.argwhere(view)] == [places[name]]


def test_three_views_of_a_channel_share_one_scale():
    volume = np.zeros((H, W, D, 1), np.float32)
    volume[1, 2, 1] = 7
    found = volume_views.volume_views(volume)
    # One voxel of n: the deviation is sqrt(1 / n - 1 / n^2); three layers of depth are the fewest.
    wanted = {name: math.sqrt(1 / n - 1 / n**2) for name, n in zip(volume_views.VIEWS, (D, W, H))}
    for name in volume_views.VIEWS:
        assert found[name].max() == pytest.approx(wanted[name] / wanted["front"], abs=1e-6)


@pytest.mark.parametrize(("scale", "shift"), [(3.0, 0.0), (1e-6, 0.0), (1.0, 5.0), (-2.0, -3.0)])
def test_scale_and_shift_of_a_channel_change_nothing(scale, shift):
    volume = _volume()
    other = volume * np.array([1, scale]) + np.array([0, shift])
    before, after = volume_views.volume_views(volume), volume_views.volume_views(other)
    for name in volume_views.VIEWS:
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.1, -1e6])
def test_a_channel_that_does_not_vary_is_zero(level):
    # 0.1 is not exact, and a mean of 60 of it differs from each of them.
    constant = np.full((H, W, D, 1), level, np.float32)
    for view in volume_views.volume_views(constant).values():
        assert not view.any()
    volume = _volume(channels=1)
    both = volume_views.volume_views(np.concatenate([volume, constant], axis=-1))
    for name, view in volume_views.volume_views(volume).items():
        np.testing.assert_allclose(both[name], view / 2, atol=1e-6)


def test_rounding_is_not_activity():
    noise = np.float32(0.1) + np.float32(1e-8) * _volume(channels=1)
    assert 0 < np.ptp(noise) < 1e-7
    for view in volume_views.volume_views(noise).values():
        assert not view.any()


def test_half_precision_does():
    volume = jnp.asarray(_volume(), jnp.bfloat16)
    exact = volume_views.volume_views(np.asarray(volume, np.float32))
    for name, view in volume_views.volume_views(np.asarray(volume)).items():
        np.testing.assert_array_equal(view, exact[name])


# --- parts ---------------------------------------------------------------------------------------


def _march(masks, ray):
    """The label of the first voxel of a ray with a part; else the offcut's if it is on the ray."""
    for voxel in ray:
        for part in range(NUM_PARTS):
            if masks[(part, *voxel)]:
                return part + 1
    offcut = masks.shape[0] > NUM_PARTS and any(masks[(NUM_PARTS, *voxel)] for voxel in ray)
    return volume_views.OFFCUT if offcut else 0


@pytest.mark.parametrize("parts", [NUM_PARTS, NUM_PARTS + 1])
def test_parts_are_what_a_ray_meets_first(parts):
    for seed in range(3):
        masks = _masks(parts, seed)
        front = [[_march(masks, [(h, w, d) for d in range(D)]) for w in range(W)] for h in range(H)]
        # From the right.
        side = [
            [_march(masks, [(h, w, d) for w in reversed(range(W))]) for d in range(D)]
            for h in range(H)
        ]
        top = [
            [_march(masks, [(h, w, d) for h in range(H)]) for w in range(W)]
            for d in reversed(range(D))
        ]
        found = volume_views.part_views(masks)
        for name, wanted in (("front", front), ("side", side), ("top", top)):
            assert found[name].dtype == np.uint8
            np.testing.assert_array_equal(found[name], wanted)


def test_parts_stand_where_the_features_do():
    masks, volume = np.zeros((NUM_PARTS, H, W, D), bool), np.zeros((H, W, D, 1))
    masks[6, 1, 3, 2] = volume[1, 3, 2] = 1
    seen, active = volume_views.part_views(masks), volume_views.volume_views(volume)
    for name in volume_views.VIEWS:
        assert seen[name].max() == 7
        np.testing.assert_array_equal(seen[name] > 0, active[name] > 0)


# --- layers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "inner"),
    [(3, [1]), (4, [1, 2]), (5, [1, 2, 3]), (6, [2, 3]), (8, [2, 3, 4, 5])],
)
def test_inner_layers(depth, inner):
    assert np.flatnonzero(volume_views.inner_layers(depth)).tolist() == inner


@pytest.mark.parametrize("depth", range(3, 40))
def test_inner_layers_are_half_of_all_and_the_same_from_both_ends(depth):
    inner = volume_views.inner_layers(depth)
    assert abs(inner.sum() - depth / 2) <= 1
    assert inner.sum() * 2 == depth or depth % 4
    np.testing.assert_array_equal(inner, inner[::-1])


@pytest.mark.parametrize("depth", [1, 2])
def test_too_shallow_for_halves(depth):
    with pytest.raises(UserError, match=f"a volume of {depth} layers has no inner and outer ones"):
        volume_views.inner_layers(depth)


# --- numbers -------------------------------------------------------------------------------------


def test_the_share_inside_a_silhouette():
    view = np.array([[3.0, 1.0], [0.0, 4.0]])
    silhouette = np.zeros((4, 4), bool)
    silhouette[:2, :2] = True  # All of the first voxel,
    silhouette[2, 2] = True  # a quarter of the last.
    inside, area = volume_views.share_inside(view, silhouette)
    assert (inside, area) == ((3 + 1) / 8, 5 / 16)
    assert volume_views.share_inside(np.zeros((2, 2)), silhouette) == (0.0, 5 / 16)


def test_centre_and_width_of_a_profile():
    side = np.zeros((H, 4))
    side[0, 0], side[1, 3] = 2, 6
    profile = volume_views.depth_profile(side)
    np.testing.assert_allclose(profile, [0.25, 0, 0, 0.75])
    # Layers at 1/8 and 7/8 of the depth.
    centre, width = volume_views.centre_and_width(profile)
    assert centre == pytest.approx(0.25 / 8 + 0.75 * 7 / 8)
    assert width == pytest.approx(0.75 * math.sqrt(0.25 * 0.75))
    assert not volume_views.depth_profile(np.zeros((H, 4))).any()


def test_correlations():
    a, b = _volume(1, seed=1).ravel().tolist(), _volume(1, seed=2).ravel().tolist()
    assert volume_views.correlation(a, b) == pytest.approx(statistics.correlation(a, b))
    assert volume_views.correlation(a, [1 - 2 * x for x in a]) == pytest.approx(-1)
    assert volume_views.correlation(a, np.ones(len(a))) is None
    assert volume_views.correlation(np.ones(len(a)), a) is None
