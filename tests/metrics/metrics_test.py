"""volsynth.metrics against slow references: scipy windows, pixel loops, sets of pixels."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from volsynth import metrics

MAGENTA = np.array([1.0, -1.0, 1.0], np.float32)


def _pictures(seed: int, batch: int = 3, height: int = 19, width: int = 23) -> np.ndarray:
    """Random pictures that are smooth in places, so that every term of SSIM matters."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(-1, 1, (batch, height, width, 3))
    smooth = ndimage.gaussian_filter(noise, (0, 2, 2, 0)) * 3
    return np.clip(smooth + 0.1 * noise, -1, 1).astype(np.float32)


def _masks(seed: int, batch: int = 3, height: int = 19, width: int = 23) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(batch, height, width)) < 0.3


@pytest.fixture(autouse=True, params=["plain", "strict"])
def _promotion(request):
    """Scores must also work for callers who forbid implicit promotion."""
    if request.param == "plain":
        yield
        return
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


# --- oracles -------------------------------------------------------------------------------------


def _slow_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean SSIM of two [H, W, 3] pictures in float64, windows cut to 11 x 11, inner pixels only."""

    def blur(x):
        # scipy's radius is int(truncate * sigma + 0.5): 5, so a window of 11.
        return ndimage.gaussian_filter(x, 1.5, truncate=3.5, mode="constant")[5:-5, 5:-5]

    values = []
    for channel in range(3):
        x = (a[..., channel].astype(np.float64) + 1) / 2
        y = (b[..., channel].astype(np.float64) + 1) / 2
        mx, my = blur(x), blur(y)
        vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        c1, c2 = 0.01**2, 0.03**2
        values.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return float(np.mean(values))


def _slow_l1(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    total, weight = 0.0, 0.0
    for row in range(a.shape[0]):
        for column in range(a.shape[1]):
            w = 1.0 if mask is None else float(mask[row, column])
            for channel in range(3):
                difference = float(a[row, column, channel]) - float(b[row, column, channel])
                total += w * abs(difference) / 3
            weight += w
    return total / weight


def _slow_iou(image: np.ndarray, mask: np.ndarray) -> float:
    person = {
        (row, column)
        for row in range(image.shape[0])
        for column in range(image.shape[1])
        if sum(abs(float(v) - float(m)) for v, m in zip(image[row, column], MAGENTA)) / 3 > 0.3
    }
    true = {(int(row), int(column)) for row, column in zip(*np.nonzero(mask > 0.5))}
    return len(person & true) / len(person | true)


# --- ssim and l1 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(11, 11), (19, 23), (40, 12)])
def test_ssim_equals_scipy_windows(size):
    a, b = _pictures(0, 3, *size), _pictures(1, 3, *size)
    b[1] = 0.9 * a[1]  # one pair that is alike, one that is not
    got = metrics.ssim(jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_allclose(got, [_slow_ssim(x, y) for x, y in zip(a, b)], atol=2e-5)
    assert got[1] > 0.9 > 0.5 > got[0]


def test_l1_equals_loops():
    a, b = _pictures(0), _pictures(1)
    got = metrics.l1(jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_allclose(got, [_slow_l1(x, y) for x, y in zip(a, b)], rtol=1e-5)


def test_l1_of_black_and_white_is_the_whole_range():
    white = jnp.ones((2, 12, 12, 3))
    np.testing.assert_allclose(metrics.l1(white, -white), [2.0, 2.0])


@pytest.mark.parametrize(("score", "best"), [("ssim", 1.0), ("l1", 0.0)])
def test_a_picture_compared_with_itself(score, best):
    a = jnp.asarray(_pictures(2))
    np.testing.assert_allclose(getattr(metrics, score)(a, a), [best] * 3, atol=1e-5)


@pytest.mark.parametrize("score", ["ssim", "l1"])
def test_symmetry(score):
    a, b = jnp.asarray(_pictures(0)), jnp.asarray(_pictures(1))
    f = getattr(metrics, score)
    np.testing.assert_allclose(f(a, b), f(b, a), atol=1e-6)


def test_ssim_of_constant_pictures_is_finite_and_has_a_finite_gradient():
    flat = jnp.full((1, 16, 16, 3), 0.25)
    value, gradient = jax.value_and_grad(lambda x: metrics.ssim(x, flat).sum())(flat)
    assert value == pytest.approx(1.0, abs=1e-5)
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("score", ["ssim", "l1"])
def test_scores_are_float32_for_every_input_dtype(score, dtype):
    a, b = (jnp.asarray(_pictures(seed)).astype(dtype) for seed in (0, 1))
    f = getattr(metrics, score)
    got = f(a, b)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(
        got, f(a.astype(jnp.float32), b.astype(jnp.float32)), rtol=1e-6, atol=1e-7
    )


# --- masks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bool", "soft"])
def test_foreground_l1_equals_loops(kind):
    a, b = _pictures(0), _pictures(1)
    mask = (
        _masks(2)
        if kind == "bool"
        else np.float32(np.random.default_rng(3).uniform(size=(3, 19, 23)))
    )
    got = metrics.foreground_l1(jnp.asarray(a), jnp.asarray(b), jnp.asarray(mask))
    np.testing.assert_allclose(got, [_slow_l1(x, y, m) for x, y, m in zip(a, b, mask)], rtol=1e-5)


def test_foreground_l1_of_a_full_mask_is_l1():
    a, b = jnp.asarray(_pictures(0)), jnp.asarray(_pictures(1))
    full = jnp.ones(a.shape[:3])
    np.testing.assert_allclose(metrics.foreground_l1(a, b, full), metrics.l1(a, b), rtol=1e-5)


def test_foreground_l1_of_an_empty_mask_is_zero_with_a_zero_gradient():
    a, b = jnp.asarray(_pictures(0)), jnp.asarray(_pictures(1))
    mask = jnp.asarray(_masks(2)).at[1].set(False)
    value, gradient = jax.value_and_grad(lambda x: metrics.foreground_l1(x, b, mask)[1])(a)
    assert value == 0.0
    np.testing.assert_array_equal(gradient, np.zeros_like(a))


def test_foreground_l1_never_reads_outside_the_mask():
    a, b = _pictures(0), _pictures(1)
    mask = _masks(2)
    clean = metrics.foreground_l1(jnp.asarray(a), jnp.asarray(b), jnp.asarray(mask))
    a[~mask] = np.nan
    dirty = metrics.foreground_l1(jnp.asarray(a), jnp.asarray(b), jnp.asarray(mask))
    np.testing.assert_array_equal(clean, dirty)


def test_foreground_threshold_is_the_mean_channel_difference():
    image = np.tile(MAGENTA, (1, 12, 12, 1))
    image[0, 2, 3, 1] += 0.88  # mean difference 0.293
    image[0, 4, 5, 1] += 0.92  # 0.307
    image[0, 6, 7] = (0.65, -0.65, 0.65)  # 0.35
    found = np.argwhere(metrics.foreground(jnp.asarray(image))[0])
    assert found.tolist() == [[4, 5], [6, 7]]
    lower = np.argwhere(metrics.foreground(jnp.asarray(image), threshold=0.29)[0])
    assert lower.tolist() == [[2, 3], [4, 5], [6, 7]]


def test_black_white_and_grey_are_foreground_and_magenta_is_not():
    colours = jnp.asarray([[1, 1, 1], [-1, -1, -1], [0, 0, 0], [1, -1, 1]], jnp.float32)
    image = jnp.broadcast_to(colours.reshape(4, 1, 1, 3), (4, 2, 2, 3))
    assert metrics.foreground(image).all(axis=(1, 2)).tolist() == [True, True, True, False]
    assert metrics.foreground(image).any(axis=(1, 2)).tolist() == [True, True, True, False]


@pytest.mark.parametrize("dtype", ["bool", "float32"])
def test_silhouette_iou_equals_sets_of_pixels(dtype):
    image, mask = _pictures(0), _masks(1)
    image[_masks(2)] = MAGENTA
    image[_masks(3)] = MAGENTA + np.float32([-0.1, 0.3, 0.0])  # noisy background
    soft = mask if dtype == "bool" else np.where(mask, 0.6, 0.4).astype(np.float32)
    got = metrics.silhouette_iou(jnp.asarray(image), jnp.asarray(soft))
    wanted = [_slow_iou(x, m) for x, m in zip(image, mask)]
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert 0.1 < min(wanted) < 0.9


def test_silhouette_iou_at_its_edges():
    background = np.tile(MAGENTA, (12, 12, 1))
    image = jnp.asarray(np.stack([background, background, 0 * background, 0 * background]))
    empty, full = jnp.zeros((12, 12), bool), jnp.ones((12, 12), bool)
    mask = jnp.stack([empty, full, full, empty])
    assert metrics.silhouette_iou(image, mask).tolist() == [1.0, 0.0, 1.0, 0.0]


# --- calls that must fail ------------------------------------------------------------------------


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("score", ["ssim", "l1"])
def test_shapes_that_would_broadcast_are_refused(score):
    a = jnp.zeros((3, 16, 16, 3))
    with pytest.raises(ValueError, match=rf"{score}: both batches must have the same shape"):
        getattr(metrics, score)(a, a[:1])
    with pytest.raises(ValueError, match=rf"{score}: images must have shape \[B, H, W, 3\]"):
        getattr(metrics, score)(a[..., :1], a[..., :1])


@pytest.mark.usefixtures("_unchecked")
def test_foreground_l1_refuses_wrong_shapes():
    a = jnp.zeros((3, 16, 16, 3))
    with pytest.raises(ValueError, match="foreground_l1: both batches must have the same shape"):
        metrics.foreground_l1(a, a[:1], a[..., 0])
    with pytest.raises(ValueError, match=r"foreground_l1: masks of images .* \(3, 16, 16\), got"):
        metrics.foreground_l1(a, a, a[..., :1])


@pytest.mark.usefixtures("_unchecked")
def test_silhouettes_refuse_wrong_shapes():
    a = jnp.zeros((3, 16, 16, 3))
    with pytest.raises(ValueError, match="silhouette_iou: images must have shape"):
        metrics.silhouette_iou(a[0], a[..., 0])
    with pytest.raises(ValueError, match="silhouette_iou: masks of images"):
        metrics.silhouette_iou(a, a[:1, ..., 0])
    with pytest.raises(ValueError, match="foreground: images must have shape"):
        metrics.foreground(a[0])


@pytest.mark.parametrize("threshold", [-0.1, 2.0, float("nan")])
def test_foreground_refuses_a_threshold_nothing_can_exceed(threshold):
    with pytest.raises(ValueError, match=r"the threshold must lie in \[0, 2\), got"):
        metrics.foreground(jnp.zeros((1, 2, 2, 3)), threshold=threshold)


@pytest.mark.parametrize("size", [(10, 16), (16, 10)])
def test_ssim_refuses_images_smaller_than_its_window(size):
    a = jnp.zeros((1, *size, 3))
    with pytest.raises(ValueError, match=rf"at least 11 pixels .* got {size[0]} x {size[1]}"):
        metrics.ssim(a, a)


# --- jit and the protocol ------------------------------------------------------------------------


def test_every_score_is_the_same_under_jit():
    a, b, mask = jnp.asarray(_pictures(0)), jnp.asarray(_pictures(1)), jnp.asarray(_masks(2))

    def scores(a, b, mask):
        return {
            "ssim": metrics.ssim(a, b),
            "l1": metrics.l1(a, b),
            "foreground_l1": metrics.foreground_l1(a, b, mask),
            "silhouette_iou": metrics.silhouette_iou(a, mask),
        }

    plain, jitted = scores(a, b, mask), jax.jit(scores)(a, b, mask)
    for name, values in plain.items():
        assert values.shape == (3,)
        np.testing.assert_allclose(jitted[name], values, atol=1e-6, err_msg=name)


def test_the_protocol_says_what_the_code_does():
    silhouette = metrics.IMAGE_PROTOCOL["silhouette_iou"]
    assert silhouette["background"] == MAGENTA.tolist()
    default = inspect.signature(metrics.foreground).parameters["threshold"].default
    assert default == silhouette["threshold"]
