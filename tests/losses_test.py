"""Losses against log-sigmoids in float64 and a search through every neighbour."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import oracles
from volsynth import losses
from volsynth.pretrained import feature_networks

_nearest = jax.jit(losses.nearest_neighbour, static_argnums=2)
_nearest_gradient = jax.jit(jax.grad(losses.nearest_neighbour, argnums=(0, 1)), static_argnums=2)


def _features(seed, shape=(2, 6, 5, 3)):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# --- adversarial ---------------------------------------------------------------------------------


def _log_sigmoid(x):
    return -np.logaddexp(0, -np.asarray(x, np.float64))


def test_gan_losses_equal_their_formulas():
    real, fake = 4 * jnp.asarray(_features(0)), 4 * jnp.asarray(_features(1))
    wanted = -np.mean(_log_sigmoid(real)) - np.mean(_log_sigmoid(-np.asarray(fake)))
    np.testing.assert_allclose(losses.gan_discriminator(real, fake), wanted, rtol=1e-5)
    np.testing.assert_allclose(losses.gan_generator(fake), -np.mean(_log_sigmoid(fake)), rtol=1e-5)


@pytest.mark.parametrize("logit", [-1e4, -80.0, 0.0, 80.0, 1e4])
def test_extreme_logits_stay_finite_and_exact(logit):
    x = jnp.full((2, 3, 3), logit)
    close = {"rtol": 1e-5, "atol": 1e-37}
    np.testing.assert_allclose(losses.gan_generator(x), -_log_sigmoid(logit), **close)
    wanted = -_log_sigmoid(logit) - _log_sigmoid(-logit)
    np.testing.assert_allclose(losses.gan_discriminator(x, x), wanted, **close)
    slope = -np.exp(_log_sigmoid(-logit)) / x.size
    np.testing.assert_allclose(jax.grad(losses.gan_generator)(x), np.full(x.shape, slope), **close)
    for gradient in jax.grad(losses.gan_discriminator, argnums=(0, 1))(x, x):
        assert np.all(np.isfinite(gradient))


def test_the_players_pull_in_opposite_directions():
    logits = jnp.zeros((1, 2, 2))
    assert np.all(jax.grad(losses.gan_generator)(logits) < 0)
    of_real, of_fake = jax.grad(losses.gan_discriminator, argnums=(0, 1))(logits, logits)
    assert np.all(of_real < 0)
    assert np.all(of_fake > 0)


# --- differences ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_l1_is_the_mean_difference_in_float32(dtype):
    a, b = (jnp.asarray(_features(seed), dtype) for seed in (0, 1))
    got = losses.l1(a, b)
    assert got.dtype == jnp.float32
    wanted = np.mean(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_chroma_sees_colour_and_not_brightness():
    a, b = jnp.asarray(_features(0)), jnp.asarray(_features(1))
    pairs = ((0, 1), (1, 2), (2, 0))
    difference = np.asarray(a - b)
    wanted = np.mean([np.abs(difference[..., i] - difference[..., j]) for i, j in pairs])
    np.testing.assert_allclose(losses.chroma(a, b), wanted, rtol=1e-5)
    brighter = a + _features(2, (*a.shape[:3], 1))
    np.testing.assert_allclose(losses.chroma(a, brighter), 0, atol=1e-6)


@pytest.mark.parametrize("neighbourhood", [1, 3, 5, 9])
def test_nearest_neighbour_equals_a_full_search(neighbourhood):
    a, b = _features(0), _features(1)
    wanted = oracles.nearest_neighbour(a, b, neighbourhood)
    np.testing.assert_allclose(_nearest(a, b, neighbourhood), wanted, rtol=1e-5)


def test_the_border_never_is_the_nearest():
    """Features of about zero are closer to a padding of zeros than to anything in the image."""
    a, b = 1e-3 * _features(0), 50 + _features(1)
    wanted = oracles.nearest_neighbour(a, b, 5)
    assert wanted > 100
    np.testing.assert_allclose(_nearest(a, b, 5), wanted, rtol=1e-5)


def test_one_pixel_is_the_l1_distance_and_more_never_cost_more():
    a, b = jnp.asarray(_features(0)), jnp.asarray(_features(1))
    np.testing.assert_allclose(_nearest(a, b, 1), 3 * losses.l1(a, b), rtol=1e-5)
    values = [float(_nearest(a, b, n)) for n in (1, 3, 5, 9)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 1.2 * values[-1]


@pytest.mark.parametrize(("shift", "free"), [((1, 2), True), ((2, 2), True), ((3, 0), False)])
def test_a_picture_that_moved_within_the_neighbourhood_costs_nothing(shift, free):
    # In a frame of zeros, so that the border finds its likeness as well.
    a = np.pad(_features(0), ((0, 0), (4, 4), (4, 4), (0, 0)))
    value = float(_nearest(a, np.roll(a, shift, axis=(1, 2)), 5))
    assert (value == 0) == free


def _search(a, b, neighbourhood):
    """The same with every offset stored, for autodiff."""
    radius = neighbourhood // 2
    height, width = a.shape[1:3]
    padded = jnp.pad(b, ((0, 0), (radius,) * 2, (radius,) * 2, (0, 0)), constant_values=1e9)
    distances = [
        jnp.sum(jnp.abs(a - padded[:, i : i + height, j : j + width]), axis=-1)
        for i in range(neighbourhood)
        for j in range(neighbourhood)
    ]
    return jnp.mean(jnp.min(jnp.stack(distances), axis=0))


@pytest.mark.parametrize("neighbourhood", [1, 5])
def test_the_gradient_is_that_of_the_nearest(neighbourhood):
    a, b = _features(0), _features(1)
    gradient, of_target = _nearest_gradient(a, b, neighbourhood)
    wanted = jax.grad(_search)(jnp.asarray(a), jnp.asarray(b), neighbourhood)
    np.testing.assert_allclose(gradient, wanted, atol=1e-7)
    assert not np.any(of_target)  # The target is data.
    for seed in (2, 3):
        direction = _features(seed).astype(np.float64)
        up, down = (
            oracles.nearest_neighbour(a + t * direction, b, neighbourhood) for t in (1e-5, -1e-5)
        )
        np.testing.assert_allclose(np.vdot(gradient, direction), (up - down) / 2e-5, rtol=1e-3)


def test_memory_does_not_grow_with_the_neighbourhood():
    spec = jax.ShapeDtypeStruct((1, 64, 64, 8), jnp.float32)

    def temporary(neighbourhood):
        compiled = _nearest_gradient.lower(spec, spec, neighbourhood).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    # The padding grows a little; 25 times as many distances would not fit.
    assert temporary(15) < 2 * temporary(3)


@pytest.mark.parametrize("neighbourhood", [3, 5])
def test_at_full_size_value_and_gradient_fit_into_a_gibibyte(neighbourhood):
    features = feature_networks.load_features("", ["block1_conv2"])
    spec = jax.ShapeDtypeStruct((2, 256, 256, 3), jnp.float32)

    def loss(image, target):
        a, b = (features(x)["block1_conv2"] for x in (image, target))
        return losses.nearest_neighbour(a, b, neighbourhood)

    compiled = jax.jit(jax.value_and_grad(loss)).lower(spec, spec).compile()
    assert 0 < compiled.memory_analysis().temp_size_in_bytes < 2**30


@pytest.mark.slow
def test_at_full_size_the_gradient_is_that_of_the_naive_form():
    a, b = (_features(seed, (2, 256, 256, 16)) for seed in (0, 1))
    gradient, _ = _nearest_gradient(a, b, 5)
    wanted = jax.jit(jax.grad(_search), static_argnums=2)(jnp.asarray(a), jnp.asarray(b), 5)
    np.testing.assert_allclose(gradient, wanted, atol=1e-10)
    assert np.any(gradient)


def test_nearest_neighbour_is_computed_in_float32():
    a, b = (jnp.asarray(_features(seed), jnp.bfloat16) for seed in (0, 1))
    got = _nearest(a, b, 3)
    assert got.dtype == jnp.float32
    wanted = _nearest(a.astype(jnp.float32), b.astype(jnp.float32), 3)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_nan_features_are_not_hidden():
    a = _features(0)
    a[0, 2, 2, 1] = np.nan
    assert np.isnan(_nearest(a, _features(1), 3))


@pytest.mark.parametrize("neighbourhood", [-3, 0, 2, 4])
def test_an_even_neighbourhood_is_refused(neighbourhood):
    a = jnp.asarray(_features(0))
    with pytest.raises(
        ValueError, match=f"neighbourhood must be odd and positive, got {neighbourhood}"
    ):
        losses.nearest_neighbour(a, a, neighbourhood)


# --- a critic with gradient penalty --------------------------------------------------------------


def test_wasserstein_losses_are_differences_of_means():
    real, fake = (_features(seed).astype(np.float64) for seed in (0, 1))
    wanted = fake.mean() - real.mean()
    got = losses.wasserstein_critic(jnp.asarray(real), jnp.asarray(fake))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    np.testing.assert_allclose(
        losses.wasserstein_generator(jnp.asarray(fake)), -fake.mean(), rtol=1e-5
    )
    assert losses.wasserstein_generator(jnp.ones(3, jnp.bfloat16)).dtype == jnp.float32


def _quadratic_critic(weights):
    """Two patches an image: half the weighted sums of squares of two halves of its channels."""

    def critic(images):
        values = 0.5 * weights * jnp.square(images)
        return jnp.stack(
            [jnp.sum(values[..., :2], axis=(1, 2, 3)), jnp.sum(values[..., 2:], axis=(1, 2, 3))], 1
        )

    return critic


def test_gradient_penalty_equals_its_formula():
    weights = _features(3, (6, 5, 3))
    real, fake, mix = _features(0), _features(1), np.array([0.25, 0.9], np.float32)
    wanted = 0.0
    for example in range(2):
        point = mix[example] * real[example] + (1 - mix[example]) * fake[example]
        # The mean over two patches has the half of the sum's slope.
        slope = np.sqrt(np.sum(np.square(weights * point / 2, dtype=np.float64)))
        wanted += (slope - 1) ** 2 / 2
    critic = _quadratic_critic(jnp.asarray(weights))
    got = losses.gradient_penalty(critic, *map(jnp.asarray, (real, fake, mix)))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_the_gradient_of_the_penalty_is_that_of_finite_differences():
    real, fake, mix = map(jnp.asarray, (_features(0), _features(1), np.float32([0.3, 0.6])))
    weights, direction = (jnp.asarray(_features(seed, (6, 5, 3))) for seed in (3, 4))

    def penalty(weights):
        return losses.gradient_penalty(_quadratic_critic(weights), real, fake, mix)

    slope = jnp.vdot(jax.grad(penalty)(weights), direction)
    up, down = (penalty(weights + t * direction) for t in (1e-2, -1e-2))
    np.testing.assert_allclose(slope, (up - down) / 2e-2, rtol=1e-2)


def test_a_critic_that_sees_nothing_has_a_finite_penalty_and_gradient():
    real, fake = jnp.asarray(_features(0)), jnp.asarray(_features(1))

    def penalty(weight):
        return losses.gradient_penalty(
            lambda x: weight * jnp.sum(x, axis=(1, 2, 3)), real, fake, jnp.array([0.5, 0.5])
        )

    value, slope = jax.value_and_grad(penalty)(0.0)
    assert value == 1
    assert np.isfinite(slope)


def test_a_critic_trained_with_the_penalty_has_slope_one():
    """Two clouds of points half a unit apart.

    A slope s along the way gains distance * s and costs 10 (s - 1)^2: 1 + distance / 20 is best.
    """
    rng = np.random.default_rng(0)
    shift = np.array([0.5, 0.0], np.float32)
    shape = (256, 1, 1, 2)

    def critic(weights, points):
        x = points.reshape(-1, 2)
        for matrix, bias in weights[:-1]:
            x = jax.nn.leaky_relu(x @ matrix + bias, 0.2)
        return x @ weights[-1][0]

    sizes = [(2, 32), (32, 32), (32, 1)]
    weights = [
        (jnp.asarray(rng.standard_normal(s) / np.sqrt(s[0]), jnp.float32), jnp.zeros(s[1]))
        for s in sizes
    ]
    optimiser = optax.adam(optax.cosine_decay_schedule(3e-3, 2000), b1=0.0, b2=0.9)

    def draw(key):
        of_real, of_fake, of_mix = jax.random.split(key, 3)
        real = 0.05 * jax.random.normal(of_real, shape) + shift
        return real, 0.05 * jax.random.normal(of_fake, shape), jax.random.uniform(of_mix, shape[:1])

    @jax.jit
    def step(carry, key):
        weights, state = carry
        real, fake, mix = draw(key)

        def loss(weights):
            play = losses.wasserstein_critic(critic(weights, real), critic(weights, fake))
            slope = losses.gradient_penalty(lambda x: critic(weights, x), real, fake, mix)
            return play + 10 * slope, (play, slope)

        gradients, terms = jax.grad(loss, has_aux=True)(weights)
        updates, state = optimiser.update(gradients, state)
        return (optax.apply_updates(weights, updates), state), terms

    start = (weights, optimiser.init(weights))
    _, (play, slope) = jax.lax.scan(step, start, jax.random.split(jax.random.key(0), 2000))
    assert slope[0] > 0.05
    assert np.mean(slope[-50:]) < 0.003
    np.testing.assert_allclose(-np.mean(play[-50:]), 0.5 * 1.025, rtol=0.05)


# --- the pose head -------------------------------------------------------------------------------


def test_heatmap_cross_entropy_equals_slow_loops():
    shape = (2, 4, 3, 2, 5)
    logits = 3 * _features(0, shape)
    heatmaps = np.abs(_features(1, shape))
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
    heatmaps = jnp.abs(jnp.asarray(_features(1, (1, 4, 3, 2, 5)))) + 0.1
    visible = jnp.ones((1, 5), bool)
    gradient = jax.grad(losses.heatmap_cross_entropy)(jnp.log(heatmaps) + 2, heatmaps, visible)
    np.testing.assert_allclose(gradient, 0, atol=1e-8)
    off = jax.grad(losses.heatmap_cross_entropy)(jnp.zeros(heatmaps.shape), heatmaps, visible)
    # Towards the heatmap: the softmax minus the target, over voxels and joints.
    wanted = (1 / 24 - heatmaps / jnp.sum(heatmaps, axis=(1, 2, 3), keepdims=True)) / 24 / 5
    np.testing.assert_allclose(off, wanted, atol=1e-7)


def test_without_any_visible_joint_the_pose_loss_is_zero():
    x = jnp.asarray(_features(0, (1, 4, 3, 2, 5)))
    value, slope = jax.value_and_grad(losses.heatmap_cross_entropy)(x, x * 0, x[:, 0, 0, 0] > 99)
    assert value == 0
    assert not np.any(slope)


# --- perceptual ----------------------------------------------------------------------------------


def _layers(seed):
    shapes = {"block1_conv2": (2, 4, 3, 2), "block2_conv2": (2, 2, 1, 5), "block10": (2, 1, 1, 1)}
    return {name: _features(seed + i, shape) for i, (name, shape) in enumerate(shapes.items())}


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


# --- masked --------------------------------------------------------------------------------------


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


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("loss", [losses.l1, losses.chroma])
def test_images_of_two_shapes_are_not_broadcast(loss):
    image = jnp.zeros((2, 4, 4, 3))
    with pytest.raises(AssertionError, match="equal_shape"):
        loss(image, image[:1])
