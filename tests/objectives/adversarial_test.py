"""Adversarial terms of every loss against direct formulas, for a judge that is no network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volsynth.objectives import adversarial

SHAPE = (3, 4, 2, 3)
KEY = jax.random.key(5)


def _stream(number):
    return jax.random.fold_in(KEY, number)


def _examples(seed):
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


WEIGHTS = _examples(2)[:1]


def _judge(images):
    """A logit for each row of an image, [B, 4]: half the weighted sum of its squares."""
    return jnp.sum(WEIGHTS * jnp.square(images) / 2, axis=(2, 3))


def _logits(images):
    """The same in NumPy and float64."""
    return np.sum(WEIGHTS.astype(np.float64) * np.square(images, dtype=np.float64) / 2, axis=(2, 3))


def _log_sigmoid(logits):
    return -np.log1p(np.exp(-logits))


def _critic_terms(name, gradient_penalty=0.0, judge=_judge):
    real, generated = jnp.asarray(_examples(0)), jnp.asarray(_examples(1))
    return adversarial.critic_terms(name, judge, real, generated, gradient_penalty, _stream)


def test_these_are_all_losses_there_are():
    assert set(adversarial.GAN_LOSSES) == {"minimax", "wasserstein"}


def test_the_critic_of_minimax_tells_real_from_generated():
    """-log D(real) - log(1 - D(generated)), whatever the weight of a penalty that it lacks."""
    real, generated = _logits(_examples(0)), _logits(_examples(1))
    wanted = np.mean(-_log_sigmoid(real)) + np.mean(-_log_sigmoid(-generated))
    for penalty in (0.0, 10.0):
        terms = _critic_terms("minimax", penalty)
        assert set(terms) == {"gan"}
        np.testing.assert_allclose(terms["gan"], wanted, rtol=1e-5)


def test_the_generator_of_minimax_wants_to_be_taken_for_real():
    """-log D(generated), the form that does not saturate."""
    got = adversarial.generator_term("minimax", _judge, jnp.asarray(_examples(1)))
    np.testing.assert_allclose(got, np.mean(-_log_sigmoid(_logits(_examples(1)))), rtol=1e-5)


def test_the_wasserstein_critic_is_the_difference_of_means():
    terms = _critic_terms("wasserstein")
    assert set(terms) == {"wasserstein"}
    wanted = np.mean(_logits(_examples(1))) - np.mean(_logits(_examples(0)))
    np.testing.assert_allclose(terms["wasserstein"], wanted, rtol=1e-5)


def test_the_wasserstein_generator_raises_its_own_mean():
    got = adversarial.generator_term("wasserstein", _judge, jnp.asarray(_examples(1)))
    np.testing.assert_allclose(got, -np.mean(_logits(_examples(1))), rtol=1e-5)


@pytest.mark.parametrize("weight", [1.0, 7.0])
def test_the_penalty_holds_the_slope_between_real_and_generated_at_one(weight):
    """The mean over examples of (|grad| - 1)^2 at points that stream 1 draws, times its weight."""
    terms = _critic_terms("wasserstein", weight)
    assert set(terms) == {"wasserstein", "gradient_penalty"}
    real, generated = _examples(0), _examples(1)
    mix = np.asarray(jax.random.uniform(_stream(1), (len(real),)))[:, None, None, None]
    points = mix * real + (1 - mix) * generated
    # The mean over four rows has a quarter of the slope of their sum.
    slopes = np.sqrt(np.sum(np.square(WEIGHTS * points / 4, dtype=np.float64), axis=(1, 2, 3)))
    np.testing.assert_allclose(
        terms["gradient_penalty"], weight * np.mean((slopes - 1) ** 2), rtol=1e-5
    )


@pytest.mark.parametrize("name", adversarial.GAN_LOSSES)
def test_critic_and_generator_pull_generated_examples_apart(name):
    """The critic lowers their logits, the generator raises them; the critic raises real ones."""
    real, generated = jnp.asarray(_examples(0)), jnp.asarray(_examples(1))

    def critic(offset_of_real, offset_of_generated):
        def judge(images):
            return _judge(images) + (offset_of_real if images is real else offset_of_generated)

        terms = adversarial.critic_terms(name, judge, real, generated, 0.0, _stream)
        return sum(terms.values())

    raises_real, raises_generated = jax.grad(critic, argnums=(0, 1))(0.0, 0.0)
    assert raises_real < 0 < raises_generated
    slope = jax.grad(
        lambda offset: adversarial.generator_term(name, lambda x: _judge(x) + offset, generated)
    )(0.0)
    assert slope < 0


def test_without_a_penalty_no_random_number_is_drawn_and_nothing_is_differentiated():
    def refused(number):
        raise AssertionError(number)

    images = jnp.asarray(_examples(0))
    for name, penalty in (("minimax", 10.0), ("wasserstein", 0.0)):
        adversarial.critic_terms(name, _judge, images, images, penalty, refused)
