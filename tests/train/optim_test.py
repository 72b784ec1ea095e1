"""Optimisers: the rate over a run, who gets one, and values that cannot be."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy
from ml_collections import ConfigDict

from volsynth.errors import UserError
from volsynth.train import optim


def _make(steps=10, **changes):
    adam = {**toy.OPTIMISER, "learning_rate": 0.5, "b1": 0.5}
    config = {"generator": {**adam, **changes}, "critic": adam}
    made = optim.make(ConfigDict(config), toy.system(), {"main": range(steps)})
    return {key.removeprefix("main/"): optimiser.transform for key, optimiser in made.items()}


def _rates(optimiser, steps):
    """The rate of each step: Adam moves by it, where the gradient is always 1."""
    weight, gradient = jnp.array(3.0), jnp.array(1.0)
    state, rates = optimiser.init(weight), []
    for _ in range(steps):
        update, state = optimiser.update(gradient, state, weight)
        rates.append(-float(update))
    return np.array(rates)


def _cosine(steps):
    return 0.5 * (1 + np.cos(np.pi * np.arange(steps) / steps)) / 2


def test_every_player_has_its_own_optimiser():
    made = _make(learning_rate=0.25)
    assert set(made) == {"generator", "critic"}
    np.testing.assert_allclose(_rates(made["generator"], 1), 0.25, rtol=1e-5)
    np.testing.assert_allclose(_rates(made["critic"], 1), 0.5, rtol=1e-5)


def test_without_decay_the_rate_is_constant_to_the_last_step():
    np.testing.assert_allclose(_rates(_make()["generator"], 10), 0.5, rtol=1e-5)


def test_the_rate_is_constant_up_to_decay_from_and_then_falls_to_zero():
    rates = _rates(_make(decay_from=0.4)["generator"], 12)
    np.testing.assert_allclose(rates[:5], 0.5, rtol=1e-5)
    np.testing.assert_allclose(rates[4:10], _cosine(6), rtol=1e-4)
    assert np.all(np.diff(rates[4:10]) < 0)
    np.testing.assert_allclose(rates[10:], 0, atol=1e-7)


def test_decay_from_the_start():
    rates = _rates(_make(decay_from=0.0)["generator"], 10)
    np.testing.assert_allclose(rates, _cosine(10), rtol=1e-4)


def test_the_moments_are_those_of_the_config():
    slow, fast = (_make(b1=b1)["generator"] for b1 in (0.9, 0.0))
    weight = jnp.array(0.0)
    after = []
    for optimiser in (slow, fast):
        state = optimiser.init(weight)
        _, state = optimiser.update(jnp.array(1.0), state, weight)
        update, _ = optimiser.update(jnp.array(-1.0), state, weight)
        after.append(float(update))
    # Without memory the second step turns round at once.
    assert after[1] > 0.4
    assert abs(after[0]) < 0.1


def test_l2_is_the_gradient_of_its_penalty_on_kernels_alone():
    weights = {"Conv_0": {"kernel": jnp.array([2.0, -1.0]), "bias": jnp.array([3.0])}}
    gradients = {"Conv_0": {"kernel": jnp.array([0.1, 0.2]), "bias": jnp.array([-0.3])}}
    penalised = {
        "Conv_0": {"kernel": jnp.array([0.1 + 2 * 0.5 * 2, 0.2 - 2 * 0.5]), "bias": [-0.3]}
    }
    made = {l2: _make(l2=l2)["generator"] for l2 in (0.0, 0.5)}
    # Adam's first step hides how large a gradient is; its second does not.
    states = {l2: o.update(gradients, o.init(weights), weights)[1] for l2, o in made.items()}
    got = states[0.5][1][0].mu["Conv_0"]
    plain = states[0.0][0].mu["Conv_0"]
    for name, gradient in penalised["Conv_0"].items():
        np.testing.assert_allclose(got[name], 0.5 * np.array(gradient), rtol=1e-6)
    np.testing.assert_array_equal(got["bias"], plain["bias"])


def test_weight_decay_takes_a_share_off_kernels_whatever_the_gradient():
    weights = {"Conv_0": {"kernel": jnp.array([2.0, -1.0]), "bias": jnp.array([3.0])}}
    for size in (1.0, 1000.0):
        gradients = {"Conv_0": {"kernel": jnp.array([size, size]), "bias": jnp.array([size])}}
        moved = {}
        for decay in (0.0, 0.1):
            made = _make(weight_decay=decay, kind="adamw")["generator"]
            moved[decay] = made.update(gradients, made.init(weights), weights)[0]["Conv_0"]
        # Times the rate, 0.5.
        taken = moved[0.1]["kernel"] - moved[0.0]["kernel"]
        np.testing.assert_allclose(taken, [-0.1, 0.05], rtol=1e-5)
        np.testing.assert_array_equal(moved[0.1]["bias"], moved[0.0]["bias"])


def test_a_player_without_a_section_comes_with_the_nearest():
    config = ConfigDict({"generator": {"learning_rate": 1.0}, "crtic": {}})
    with pytest.raises(
        UserError,
        match=r"config\.optim has no section 'critic'; did you mean 'crtic'\? "
        r"Allowed: crtic, generator\.",
    ):
        optim.make(config, toy.system(), {"main": range(10)})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("decay_from", 1.5, "decay_from must lie in [0, 1], got 1.5."),
        ("decay_from", -0.1, "decay_from must lie in [0, 1], got -0.1."),
        ("learning_rate", 0.0, "learning_rate must be positive, got 0.0."),
        ("learning_rate", -1.0, "learning_rate must be positive, got -1.0."),
        ("b1", 1.0, "b1 must lie in [0, 1), got 1.0."),
        ("l2", -1e-4, "l2 must not be negative, got -0.0001."),
        ("weight_decay", -0.1, "weight_decay must not be negative, got -0.1."),
        ("b2", -0.5, "b2 must lie in [0, 1), got -0.5."),
    ],
)
def test_values_that_cannot_be(key, value, message):
    with pytest.raises(UserError, match=re.escape(f"config.optim.generator.{message}")):
        _make(**{key: value})


# --- optimisers, decays and clipping by name -----------------------------------------------------


def _updates(optimiser, losses):
    """The updates for gradients of 1 and these losses."""
    weight = jnp.array(0.0)
    state, found = optimiser.init(weight), []
    for loss in losses:
        update, state = optimiser.update(jnp.array(1.0), state, weight, value=jnp.float32(loss))
        found.append(float(update))
    return np.array(found)


def test_a_rate_may_fall_by_a_line():
    rates = _rates(_make(decay="linear", decay_from=0.4)["generator"], 12)
    np.testing.assert_allclose(rates[:5], 0.5, rtol=1e-5)
    np.testing.assert_allclose(rates[4:11], 0.5 * (1 - np.arange(7) / 6), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("decay", ["constant", "plateau"])
def test_a_rate_may_stay(decay):
    falling = [10.0 - step for step in range(10)]
    made = _make(decay=decay)["generator"]
    np.testing.assert_allclose(_updates(made, falling), -0.5, rtol=1e-5)


def test_a_rate_falls_where_the_loss_has_stopped_to():
    """Means of two losses; after two in a row that are no lower by the threshold, half the rate."""
    plateau = {"factor": 0.5, "patience": 2, "every": 2, "threshold": 0.1}
    made = _make(decay="plateau", plateau=plateau)["generator"]
    # Of negative losses, too, as a Wasserstein critic has them.
    losses = [-1.0, -1.0, -2.0, -2.0, *[-2.05] * 6]
    rates = -_updates(made, losses)
    np.testing.assert_allclose(rates[:7], 0.5, rtol=1e-5)
    assert rates[-1] == pytest.approx(0.25, rel=1e-4)


def test_rmsprop_divides_by_the_root_of_the_mean_square():
    made = _make(kind="rmsprop", b1=0.0, b2=0.75)["generator"]
    # After one gradient of 1 the mean square is 1 - 0.75.
    np.testing.assert_allclose(_updates(made, [0.0]), -0.5 / 0.5, rtol=1e-4)


def test_gradients_are_scaled_down_to_a_norm():
    weights = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    made = _make(clip_gradients=1.0, b1=0.5)["generator"]
    _, state = made.update(weights, made.init(weights), weights, value=0.0)
    # The first moments are 1 - b1 of the clipped gradients, of norm 1 instead of 5.
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (1,)][:2]
    np.testing.assert_allclose(np.ravel(moments), [0.5 * 0.6, 0.5 * 0.8], rtol=1e-5)


def test_one_phase_may_have_settings_of_its_own():
    adam = {**toy.OPTIMISER, "learning_rate": 0.5}
    slow = {**adam, "learning_rate": 0.125}
    config = {"generator": adam, "critic": adam, "main": {"critic": slow}}
    made = optim.make(ConfigDict(config), toy.system(), {"main": range(4)})
    rates = {key: _rates(optimiser.transform, 1)[0] for key, optimiser in made.items()}
    assert rates == {
        "main/generator": pytest.approx(0.5, rel=1e-4),
        "main/critic": pytest.approx(0.125, rel=1e-4),
    }
    bad = {**config, "main": {"critic": {**slow, "b1": 2.0}}}
    with pytest.raises(UserError, match=r"config\.optim\.main\.critic\.b1 must lie in"):
        optim.make(ConfigDict(bad), toy.system(), {"main": range(4)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "adma"}, "kind: unknown 'adma'; did you mean 'adam'"),
        ({"decay": "cosin"}, "decay: unknown 'cosin'; did you mean 'cosine'"),
        ({"clip_gradients": -1.0}, "clip_gradients must not be negative, got -1.0."),
        ({"clip_weights": -1.0}, "clip_weights must not be negative, got -1.0."),
        ({"weight_decay": 0.1}, "weight_decay is AdamW's; set "),
        ({"kind": "rmsprop"}, "b1 must be 0 with rmsprop"),
        ({"updates": 0}, "updates must be 1, as the player is no critic, got 0."),
        ({"updates": 2}, "updates must be 1, as the player is no critic, got 2."),
        ({"decay": "plateau", "plateau": {}}, "plateau.factor must be between 0 and 1, got None."),
        (
            {"decay": "plateau", "plateau": {"factor": 0.5, "patience": 0}},
            "plateau.patience must be at least 1, got 0.",
        ),
    ],
)
def test_settings_that_cannot_be(changes, message):
    with pytest.raises(UserError, match=re.escape(message)):
        _make(**changes)


def test_a_critic_has_at_least_one_update():
    adam = {**toy.OPTIMISER, "learning_rate": 0.5}
    config = {"generator": adam, "critic": {**adam, "updates": 0}}
    with pytest.raises(UserError, match=r"critic\.updates must be at least 1, got 0"):
        optim.make(ConfigDict(config), toy.system(), {"main": range(4)})
