"""Adversarial losses against log-sigmoids in float64, and the gradient penalty of a critic."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_arrays import normal

from volsynth import losses

# --- logits --------------------------------------------------------------------------------------


def _log_sigmoid(x):
    return -np.logaddexp(0, -np.asarray(x, np.float64))


def test_gan_losses_equal_their_formulas():
    real, fake = 4 * jnp.asarray(normal(0)), 4 * jnp.asarray(normal(1))
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


# --- a critic with gradient penalty --------------------------------------------------------------


def test_wasserstein_losses_are_differences_of_means():
    real, fake = (normal(seed).astype(np.float64) for seed in (0, 1))
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
    weights = normal(3, (6, 5, 3))
    real, fake, mix = normal(0), normal(1), np.array([0.25, 0.9], np.float32)
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
    real, fake, mix = map(jnp.asarray, (normal(0), normal(1), np.float32([0.3, 0.6])))
    weights, direction = (jnp.asarray(normal(seed, (6, 5, 3))) for seed in (3, 4))

    def penalty(weights):
        return losses.gradient_penalty(_quadratic_critic(weights), real, fake, mix)

    slope = jnp.vdot(jax.grad(penalty)(weights), direction)
    up, down = (penalty(weights + t * direction) for t in (1e-2, -1e-2))
    np.testing.assert_allclose(slope, (up - down) / 2e-2, rtol=1e-2)


def test_a_critic_that_sees_nothing_has_a_finite_penalty_and_gradient():
    real, fake = jnp.asarray(normal(0)), jnp.asarray(normal(1))

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
