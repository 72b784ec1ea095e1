"""Losses between images, features and heatmaps against slow loops in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import normal
from skimage.metrics import structural_similarity

from volsynth import losses

# --- differences ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_l1_is_the_mean_difference_in_float32(dtype):
    a, b = (jnp.asarray(normal(seed), dtype) for seed in (0, 1))
    got = losses.l1(a, b)
    assert got.dtype == jnp.float32
    wanted = np.mean(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_chroma_sees_colour_and_not_brightness():
    a, b = jnp.asarray(normal(0)), jnp.asarray(normal(1))
    pairs = ((0, 1), (1, 2), (2, 0))
    difference = np.asarray(a - b)
    wanted = np.mean([np.abs(difference[..., i] - difference[..., j]) for i, j in pairs])
    np.testing.assert_allclose(losses.chroma(a, b), wanted, rtol=1e-5)
    brighter = a + normal(2, (*a.shape[:3], 1))
    np.testing.assert_allclose(losses.chroma(a, brighter), 0, atol=1e-6)


def test_masked_l1_is_the_mean_over_the_points_of_the_mask():
    rng = np.random.default_rng(0)
    difference = rng.normal(size=(3, 5, 2)).astype(np.float32)
    mask = rng.uniform(size=(3, 5)) < 0.5
    wanted = np.mean(np.abs(difference[mask]))
    difference[~mask] = np.nan
    got = losses.masked_l1(jnp.asarray(difference), jnp.asarray(mask))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    gradient = jax.grad(losses.masked_l1)(jnp.asarray(difference), jnp.asarray(mask))
    np.testing.assert_array_equal(gradient != 0, np.broadcast_to(mask[..., None], (3, 5, 2)))
    assert losses.masked_l1(jnp.asarray(difference), jnp.zeros((3, 5), bool)) == 0


def _pictures():
    """Two pairs of noisy pictures in [-1, 1], [2, 14, 17, 3] each."""
    image = np.tanh(normal(0, (2, 14, 17, 3)))
    return image, np.clip(0.7 * image + 0.3 * normal(1, image.shape), -1, 1).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_structure_is_one_minus_the_similarity_of_scikit_image(dtype):
    a, b = (jnp.asarray(picture, dtype) for picture in _pictures())
    # In [0, 1]: the constant of the means is meant for values that are not negative.
    wanted = [
        structural_similarity(
            *((np.asarray(picture, np.float64) + 1) / 2 for picture in pair),
            channel_axis=-1,
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for pair in zip(a, b)
    ]
    got = losses.structure(a, b)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, 1 - np.mean(wanted), atol=1e-5)


def test_structure_keeps_the_contrast_of_stripes_that_are_misplaced():
    """Stripes an eighth of a period off are best grey for differences, and as they are for it."""
    x = np.arange(32)
    target, moved = (
        jnp.asarray(np.broadcast_to(np.sin(np.pi * (x / 4 + by))[:, None], (1, 32, 32, 3)))
        for by in (0.0, 0.25)
    )
    contrasts = np.linspace(0.1, 1, 19)

    def best(loss):
        return contrasts[np.argmin([loss(0.5 * a * moved, 0.5 * target) for a in contrasts])]

    assert best(losses.structure) > 0.9 > 0.75 > best(losses.l1)


def test_the_gradient_of_structure_is_that_of_differences_and_finite_on_flat_pictures():
    a, b = map(jnp.asarray, _pictures())
    direction = jnp.asarray(normal(2, a.shape))
    slope = jnp.vdot(jax.grad(losses.structure)(a, b), direction)
    step = 1e-2
    ahead, behind = (losses.structure(a + way * direction, b) for way in (step, -step))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=2e-2)
    flat = jnp.full(a.shape, -1.0)
    assert jnp.isfinite(jax.grad(losses.structure)(flat, flat)).all()


def test_structure_needs_a_window():
    with pytest.raises(ValueError, match=r"at least 11 pixels high and wide.* got 10 x 17"):
        losses.structure(*(jnp.asarray(picture)[:, :10] for picture in _pictures()))


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("loss", [losses.l1, losses.chroma, losses.structure])
def test_images_of_two_shapes_are_not_broadcast(loss):
    image = jnp.zeros((2, 4, 4, 3))
    with pytest.raises(AssertionError, match="equal_shape"):
        loss(image, image[:1])


# --- the pose head -------------------------------------------------------------------------------


def test_heatmap_cross_entropy_equals_slow_loops():
    shape = (2, 4, 3, 2, 5)
    logits = 3 * normal(0, shape)
    heatmaps = np.abs(normal(1, shape))
    visible = np.array([[True, True, False, True, True], [True, False, False, True, True]])
    heatmaps[1, ..., 3] = 0  # Far outside of the volume.
    terms = []
    for b in range(2):
        for j in range(5):
            if not visible[b, j] or not heatmaps[b, ..., j].any():
                continue
            y = np.exp(logits[b, ..., j], dtype=np.float64)
            y, t = y / y.sum(), heatmaps[b, ..., j] / heatmaps[b, ..., j].sum()
            terms.append(-np.mean(t * np.log(y)))
    assert len(terms) == 6
    got = losses.heatmap_cross_entropy(*map(jnp.asarray, (logits, heatmaps, visible)))
    np.testing.assert_allclose(got, np.mean(terms), rtol=1e-5)


def test_heatmap_cross_entropy_is_least_where_the_softmax_is_the_heatmap():
    heatmaps = jnp.abs(jnp.asarray(normal(1, (1, 4, 3, 2, 5)))) + 0.1
    visible = jnp.ones((1, 5), bool)
    gradient = jax.grad(losses.heatmap_cross_entropy)(jnp.log(heatmaps) + 2, heatmaps, visible)
    np.testing.assert_allclose(gradient, 0, atol=1e-8)
    off = jax.grad(losses.heatmap_cross_entropy)(jnp.zeros(heatmaps.shape), heatmaps, visible)
    # Towards the heatmap: the softmax minus the target, over voxels and joints.
    wanted = (1 / 24 - heatmaps / jnp.sum(heatmaps, axis=(1, 2, 3), keepdims=True)) / 24 / 5
    np.testing.assert_allclose(off, wanted, atol=1e-7)


def test_without_any_visible_joint_the_pose_loss_is_zero():
    x = jnp.asarray(normal(0, (1, 4, 3, 2, 5)))
    value, slope = jax.value_and_grad(losses.heatmap_cross_entropy)(x, x * 0, x[:, 0, 0, 0] > 99)
    assert value == 0
    assert not np.any(slope)


# --- perceptual ----------------------------------------------------------------------------------


def _layers(seed):
    shapes = {"block1_conv2": (2, 4, 3, 2), "block2_conv2": (2, 2, 1, 5), "block10": (2, 1, 1, 1)}
    return {name: normal(seed + i, shape) for i, (name, shape) in enumerate(shapes.items())}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_perceptual_is_the_mean_over_layers_of_mean_differences(dtype, weighted):
    a, b = ({k: jnp.asarray(v, dtype) for k, v in _layers(s).items()} for s in (0, 10))
    weights = {"block10": 3.0, "block2_conv2": 0.5, "block1_conv2": 2.0} if weighted else None
    wanted = 0.0
    for name, values in a.items():
        x, y = np.asarray(values, np.float64), np.asarray(b[name], np.float64)
        total = 0.0
        for index in np.ndindex(x.shape):
            total += abs(x[index] - y[index])
        wanted += (weights[name] if weighted else 1) * total / x.size / 3
    got = losses.perceptual(a, dict(reversed(b.items())), weights)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    assert losses.perceptual(a, a, weights) == 0


def test_the_gradient_of_perceptual_is_that_of_finite_differences():
    a, b = ({k: jnp.asarray(v) for k, v in _layers(s).items()} for s in (0, 10))
    weights = {"block1_conv2": 2.0, "block2_conv2": 0.5, "block10": 1.0}
    gradient = jax.grad(losses.perceptual)(a, b, weights)
    step, rng = 1e-2, np.random.default_rng(0)
    for name, values in a.items():
        for _ in range(4):
            index = tuple(rng.integers(values.shape))
            # A step over the kink would see neither slope.
            assert abs(values[index] - b[name][index]) > step
            moved = []
            for sign in (1, -1):
                there = {**a, name: values.at[index].add(sign * step)}
                moved.append(float(losses.perceptual(there, b, weights)))
            slope = (moved[0] - moved[1]) / (2 * step)
            np.testing.assert_allclose(gradient[name][index], slope, rtol=1e-2, atol=1e-5)


def test_layers_of_perceptual_that_cannot_be():
    a = {k: jnp.asarray(v) for k, v in _layers(0).items()}
    less = {k: v for k, v in a.items() if k != "block10"}
    message = r"layers must be the same and at least one, got \["
    for arguments in ((a, less), (less, a), (a, a, {"block10": 1.0}), ({}, {})):
        with pytest.raises(ValueError, match=message):
            losses.perceptual(*arguments)
