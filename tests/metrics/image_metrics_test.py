"""Further scores of images against scikit-image, scipy and NumPy."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy import ndimage
from skimage.metrics import structural_similarity

from volsynth import metrics
from volsynth.metrics import (
    colours,
    detection,
    differences,
    gradients,
    occlusion_states,
    perceptual,
    silhouettes,
)
from volsynth.metrics.structural_similarity import PROTOCOL, PUBLISHED


def _levels(seed, batch=3, height=53, width=57):
    """Pictures of 8 bits, smooth in places, whose values do not reach both ends of the range."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(-1, 1, (batch, height, width, 3))
    smooth = ndimage.gaussian_filter(noise, (0, 2, 2, 0)) * 3
    return np.clip((smooth + 0.2 * noise + 1) * 90 + 20, 20, 230).astype(np.uint8)


def _image(levels):
    return jnp.asarray(levels.astype(np.float32) / 127.5 - 1)


def _masks(seed, batch=3, height=53, width=57, share=0.3):
    return np.random.default_rng(seed).uniform(size=(batch, height, width)) < share


@pytest.fixture(autouse=True)
def _strict():
    """Scores must also work for callers who forbid implicit promotion."""
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


# Compiled once each; step by step every operation would be, for every shape.
COLOURS = {
    "colour_wasserstein": jax.jit(metrics.colour_wasserstein),
    "colour_chi_squared": jax.jit(metrics.colour_chi_squared),
}
SHARPNESS, SSIM_AS = jax.jit(metrics.sharpness), jax.jit(metrics.ssim_as, static_argnums=0)


# --- squared differences and masks ---------------------------------------------------------------


def test_l2_is_the_mean_square():
    a, b = _levels(0), _levels(1)
    want = np.mean(((a.astype(float) - b) / 127.5) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(metrics.l2(_image(a), _image(b)), want, rtol=1e-5)
    white = jnp.ones((1, 2, 2, 3))
    np.testing.assert_allclose(metrics.l2(white, -white), [4.0])


@pytest.mark.parametrize("kind", [np.float32, bool])
def test_foreground_l2_is_the_mean_square_of_some_pixels(kind):
    a, b, mask = _levels(0), _levels(1), _masks(2)
    mask[2] = False
    weight = mask.astype(kind)
    if kind is np.float32:
        weight *= np.random.default_rng(3).uniform(0.2, 1, mask.shape).astype(np.float32)
    squares = np.mean(((a.astype(float) - b) / 127.5) ** 2, axis=-1)
    want = [np.average(squares[i], weights=weight[i]) for i in range(2)]
    got = metrics.foreground_l2(_image(a), _image(b), jnp.asarray(weight))
    np.testing.assert_allclose(got, [*want, 0.0], rtol=1e-5)
    np.testing.assert_array_equal(metrics.has_pixels(jnp.asarray(weight)), [True, True, False])


def test_masked_images_are_black_outside_and_nothing_outside_counts():
    a, b, mask = _levels(0), _levels(1), _masks(2)
    keep = mask[..., None]
    black_a, black_b = a * keep, b * keep
    got = metrics.masked(_image(a), jnp.asarray(mask))
    np.testing.assert_allclose(got, _image(black_a), atol=1e-6)
    want = np.mean(np.abs(black_a.astype(float) - black_b) / 127.5, axis=(1, 2, 3))
    spoilt = jnp.where(jnp.asarray(keep), _image(a), jnp.nan)
    got = metrics.masked_l1(spoilt, _image(b), jnp.asarray(mask))
    np.testing.assert_allclose(got, want, rtol=1e-5)
    half = metrics.masked(jnp.ones((1, 1, 1, 3)), jnp.full((1, 1, 1), 0.5))
    np.testing.assert_allclose(half, np.zeros((1, 1, 1, 3)), atol=1e-7)


# --- sharpness -----------------------------------------------------------------------------------


def _slow_sharpness(levels, mask):
    """Pair by pair."""
    image = levels / 127.5 - 1
    steps = []
    for y, x in np.ndindex(mask.shape):
        for v, u in ((y + 1, x), (y, x + 1)):
            if v < mask.shape[0] and u < mask.shape[1] and mask[y, x] and mask[v, u]:
                steps.append(np.mean(np.abs(image[v, u] - image[y, x])))
    return np.mean(steps) if steps else 0.0


def test_sharpness_equals_a_loop_over_pairs():
    levels = _levels(0, height=9, width=12)
    mask = _masks(1, height=9, width=12, share=0.7)
    mask[1] = False
    mask[1, 4, 4] = True  # a pixel alone has no neighbour
    image = _image(levels)
    everywhere = np.ones_like(mask)
    for got, inside in (
        (SHARPNESS(image), everywhere),
        (SHARPNESS(image, jnp.asarray(mask)), mask),
        (SHARPNESS(image, jnp.asarray(mask, jnp.float32)), mask),
    ):
        want = [_slow_sharpness(p, m) for p, m in zip(levels, inside)]
        np.testing.assert_allclose(got, want, rtol=1e-5)


# --- SSIM as others compute it -------------------------------------------------------------------


def _with_white(levels, columns=40):
    return np.pad(levels, ((0, 0), (columns, columns), (0, 0)), constant_values=255)


def _by_range_of(generated, target):
    return structural_similarity(
        target,
        generated,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=2,
        data_range=int(generated.max()) - int(generated.min()),
    )


def _gfla(generated, target):
    return structural_similarity(
        target.astype(np.float32) / 255,
        generated.astype(np.float32) / 255,
        win_size=51,
        channel_axis=2,
        data_range=1.0,
    )


PROGRAMS = {
    "ssim_pose_gan": _by_range_of,
    "ssim_256": _by_range_of,
    "ssim_patn": lambda a, b: _by_range_of(_with_white(a), _with_white(b)),
    "ssim_gfla": _gfla,
}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("masked", [False, True])
def test_ssim_by_protocol_is_that_of_scikit_image(name, masked):
    generated, target = _levels(0), _levels(1)
    generated[1] = target[1] // 4 * 3 + 17  # one pair that is alike
    mask = _masks(2, share=0.9)
    got = SSIM_AS(name, _image(generated), _image(target), jnp.asarray(mask) if masked else None)
    if masked:
        generated, target = generated * mask[..., None], target * mask[..., None]
    want = [PROGRAMS[name](*pair) for pair in zip(generated, target)]
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_the_protocols_differ_on_the_same_images():
    levels = _levels(1)
    generated = _image(
        np.clip(levels + np.random.default_rng(0).normal(0, 30, levels.shape), 9, 240)
    )
    values = [float(jnp.mean(metrics.ssim(generated, _image(levels))))]
    names = ("ssim_pose_gan", "ssim_patn", "ssim_gfla")
    values += [float(jnp.mean(SSIM_AS(n, generated, _image(levels)))) for n in names]
    assert min(abs(a - b) for i, a in enumerate(values) for b in values[:i]) > 0.002
    # White borders are equal in both images.
    assert values[2] > values[1] + 0.1


def test_a_flat_generated_image_has_a_finite_score():
    flat = jnp.zeros((3, 53, 57, 3))
    for name in ("ssim_pose_gan", "ssim_patn"):
        assert np.all(np.isfinite(SSIM_AS(name, flat, _image(_levels(0)))))
        np.testing.assert_allclose(SSIM_AS(name, flat, flat), np.ones(3), atol=1e-5)


def test_masked_ssim_is_that_of_masked_images():
    a, b, mask = _levels(0), _levels(1), _masks(2, share=0.9)
    keep = mask[..., None]
    want = [
        structural_similarity(
            x,
            y,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=2,
            data_range=255,
        )
        for x, y in zip(a * keep, b * keep)
    ]
    got = metrics.masked_ssim(_image(a), _image(b), jnp.asarray(mask))
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_foreground_ssim_is_the_mean_over_windows_of_a_mask():
    a, b, mask = _levels(0), _levels(1), _masks(2)
    mask[2] = False
    mask[2, :5] = mask[2, :, -5:] = True  # centres that no window inside the image has
    full = [
        structural_similarity(
            x,
            y,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=2,
            data_range=255,
            full=True,
        )[1].mean(axis=-1)[5:-5, 5:-5]
        for x, y in zip(a, b)
    ]
    got = metrics.foreground_ssim(_image(a), _image(b), jnp.asarray(mask))
    want = [full[i][mask[i, 5:-5, 5:-5]].mean() for i in range(2)]
    np.testing.assert_allclose(got, [*want, 0.0], atol=2e-5)
    np.testing.assert_array_equal(metrics.has_window(jnp.asarray(mask)), [True, True, False])
    everywhere = metrics.foreground_ssim(_image(a), _image(b), jnp.ones((3, 53, 57)))
    np.testing.assert_allclose(everywhere, metrics.ssim(_image(a), _image(b)), atol=2e-5)


# --- colours -------------------------------------------------------------------------------------


def test_wasserstein_is_that_of_scipy():
    a, b = _levels(0), _levels(1, height=40, width=31) // 2
    mask_a, mask_b = _masks(2), _masks(3, height=40, width=31, share=0.6)
    everywhere = np.ones_like(mask_a), np.ones_like(mask_b)
    for inside_a, inside_b, masks in (
        (*everywhere, ()),
        (mask_a, mask_b, (jnp.asarray(mask_a), jnp.asarray(mask_b, jnp.float32))),
    ):
        want = [
            np.mean([scipy.stats.wasserstein_distance(x[m][:, c], y[n][:, c]) for c in range(3)])
            for x, y, m, n in zip(a, b, inside_a, inside_b)
        ]
        got = COLOURS["colour_wasserstein"](_image(a), _image(b), *masks)
        np.testing.assert_allclose(got, want, rtol=2e-5)


def test_chi_squared_is_that_of_a_contingency_table():
    a, b = _levels(0), _levels(1) // 2
    a[0, 0, 0], a[0, 0, 1], a[0, 0, 2] = (0, 51, 102), (153, 204, 255), (50, 203, 254)
    mask = _masks(2)
    mask[0, 0, :3] = True
    got = COLOURS["colour_chi_squared"](_image(a), _image(b), jnp.asarray(mask), jnp.asarray(mask))
    want = []
    for x, y, m in zip(a, b, mask):
        table = np.array(
            [
                np.concatenate([np.histogram(p[m][:, c], 10, (0, 255))[0] for c in range(3)])
                for p in (x, y)
            ]
        )
        table = table[:, table.sum(0) > 0]
        # Of two samples of one size the statistic is the sum of (p - q)^2 / (p + q).
        statistic = scipy.stats.chi2_contingency(table, correction=False).statistic
        want.append(statistic / table.sum())
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize(
    ("score", "of_black_and_white"), [("colour_wasserstein", 255.0), ("colour_chi_squared", 1.0)]
)
def test_colours_do_not_depend_on_where_they_are(score, of_black_and_white):
    score = COLOURS[score]
    levels = _levels(0)
    order = np.random.default_rng(0).permutation(53 * 57)
    shuffled = levels.reshape(3, -1, 3)[:, order].reshape(levels.shape)
    same = score(_image(levels), _image(shuffled))
    np.testing.assert_allclose(same, np.zeros(3), atol=1e-5)
    white = jnp.ones((1, 4, 4, 3))
    np.testing.assert_allclose(score(white, -white), [of_black_and_white], rtol=1e-6)


@pytest.mark.parametrize(
    ("score", "largest"), [("colour_wasserstein", 255.0), ("colour_chi_squared", 1.0)]
)
def test_an_image_without_a_person_is_as_far_as_can_be(score, largest):
    name, score = score, COLOURS[score]
    image, none, one = _image(_levels(0)), np.zeros((3, 53, 57), bool), _masks(1)
    none, one = jnp.asarray(none), jnp.asarray(one)
    np.testing.assert_array_equal(score(image, image, none, one), np.full(3, largest))
    np.testing.assert_array_equal(score(image, image, one, none), np.full(3, largest))
    np.testing.assert_array_equal(score(image, image, none, none), np.zeros(3))
    stated = colours.PROTOCOL[name]
    assert (stated["one_empty"], stated["both_empty"]) == (largest, 0.0)
    spoilt = jnp.where(one[..., None], image, jnp.nan)
    np.testing.assert_array_equal(score(spoilt, image, one, one), score(image, image, one, one))


# --- all of them ---------------------------------------------------------------------------------

MASKED = {
    "foreground_l1": metrics.foreground_l1,
    "foreground_l2": metrics.foreground_l2,
    "masked_l1": metrics.masked_l1,
    "masked_ssim": metrics.masked_ssim,
    "foreground_ssim": metrics.foreground_ssim,
    "colour_wasserstein": lambda a, b, mask: metrics.colour_wasserstein(a, b, mask, mask),
    "colour_chi_squared": lambda a, b, mask: metrics.colour_chi_squared(a, b, mask, mask),
}


def _scores(a, b, mask):
    values = {name: score(a, b, mask) for name, score in MASKED.items()}
    values |= {name: metrics.ssim_as(name, a, b) for name in PUBLISHED}
    values |= {"ssim": metrics.ssim(a, b), "l1": metrics.l1(a, b), "l2": metrics.l2(a, b)}
    return values | {"sharpness": metrics.sharpness(a, mask)}


def test_every_score_works_under_jit_and_image_by_image():
    size = {"height": 51, "width": 51}
    a, b = _image(_levels(0, **size)), _image(_levels(1, **size))
    mask = jnp.asarray(_masks(2, **size))
    whole = jax.jit(_scores)(a, b, mask)
    alone = jax.jit(_scores)(a[1:2], b[1:2], mask[1:2])
    half = jax.eval_shape(_scores, a.astype(jnp.bfloat16), b.astype(jnp.bfloat16), mask)
    own = {**differences.PROTOCOL, **gradients.PROTOCOL, **PROTOCOL, **colours.PROTOCOL}
    assert set(whole) == set(own)
    for name, values in whole.items():
        assert values.shape == (3,)
        assert values.dtype == half[name].dtype == jnp.float32
        np.testing.assert_allclose(values[1:2], alone[name], rtol=1e-6, atol=1e-6, err_msg=name)


def test_the_protocols_are_json_and_each_score_has_one():
    assert json.loads(json.dumps(metrics.IMAGE_PROTOCOL)) == metrics.IMAGE_PROTOCOL
    files = ({"all"}, differences.PROTOCOL, silhouettes.PROTOCOL, gradients.PROTOCOL, PROTOCOL)
    files += (colours.PROTOCOL,)
    files += (perceptual.PROTOCOL, occlusion_states.PROTOCOL, detection.PROTOCOL)
    assert len(metrics.IMAGE_PROTOCOL) == sum(map(len, files))
    assert all("better" in metrics.IMAGE_PROTOCOL[n] for n in metrics.IMAGE_PROTOCOL if n != "all")
    stated = metrics.IMAGE_PROTOCOL["ssim_gfla"]
    assert (stated["window"], stated["window_shape"], stated["sample_covariance"]) == (
        51,
        "uniform",
        True,
    )
    assert metrics.IMAGE_PROTOCOL["ssim_patn"]["white_columns_on_each_side"] == 40


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("name", [*MASKED, "l2", "ssim_256"])
def test_shapes_that_do_not_fit(name):
    a = jnp.zeros((2, 16, 16, 3))
    if name in MASKED:
        with pytest.raises(ValueError, match=r"masks of images .* must have shape"):
            MASKED[name](a, a, jnp.zeros((2, 16, 15)))
    score = {"l2": metrics.l2, "ssim_256": lambda *x: metrics.ssim_as("ssim_256", *x)}.get(name)
    score = score or (lambda a, b: MASKED[name](a, b, jnp.zeros((2, 16, 16))))
    with pytest.raises(ValueError, match=rf"^{name}: images must have shape \[B, H, W, 3\]"):
        score(a[..., :2], a[..., :2])
    if not name.startswith("colour"):
        with pytest.raises(ValueError, match=rf"^{name}: both batches must have the same shape"):
            score(a, a[:1])


def test_images_smaller_than_the_window_and_a_protocol_that_is_none():
    a = jnp.zeros((1, 50, 64, 3))
    with pytest.raises(ValueError, match=r"ssim_gfla: .* at least 51 pixels .* got 50 x 64"):
        metrics.ssim_as("ssim_gfla", a, a)
    with pytest.raises(
        ValueError, match=r"no protocol 'ssim_posegan'; did you mean 'ssim_pose_gan'"
    ):
        metrics.ssim_as("ssim_posegan", a, a)
    small = jnp.zeros((1, 10, 64, 3))
    with pytest.raises(ValueError, match=r"foreground_ssim: .* at least 11 pixels"):
        metrics.foreground_ssim(small, small, small[..., 0])
