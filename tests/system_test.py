"""The contract itself: contexts, what a system must have, and helpers around variables."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from volsynth.system import (
    Player,
    System,
    averaged_networks,
    evaluation_context,
    only_params,
    with_params,
)


def _loss(variables, outputs, batch, context):
    del variables, outputs, batch, context
    return {}, {}


PLAYER = Player(("generator",), _loss)


def _system(phases, **others):
    return System("toy", "-", toy.init, toy.forward, phases, **others)


# --- what a system must have ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phases", "others", "message"),
    [
        (
            {"main": {"generator": PLAYER}},
            {"task": "song"},
            "toy: unknown task 'song' (['image', 'image_and_pose', 'pose']).",
        ),
        ({}, {}, "toy: every system has a phase, every phase a player."),
        ({"main": {}}, {}, "toy: every system has a phase, every phase a player."),
        (
            {"main": {"generator": PLAYER}, "last": {}},
            {},
            "toy: every system has a phase, every phase a player.",
        ),
        (
            {"main": {"generator": PLAYER}, "generator": {"other": PLAYER}},
            {},
            "toy: {'generator'} names a phase and a player.",
        ),
        (
            {"main": {"a/b": PLAYER}},
            {},
            "toy: names of phases and players must have no slash.",
        ),
        (
            {"main/last": {"generator": PLAYER}},
            {},
            "toy: names of phases and players must have no slash.",
        ),
        (
            {"main": {"generator": PLAYER, "idle": Player((), _loss)}},
            {},
            "toy: every player trains some network.",
        ),
    ],
)
def test_parts_that_do_not_fit_together(phases, others, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        _system(phases, **others)


def test_a_player_in_two_phases_has_a_key_for_each():
    system = _system({"first": {"generator": PLAYER}, "second": {"generator": PLAYER}})
    assert list(system.players) == ["first/generator", "second/generator"]


# --- contexts ------------------------------------------------------------------------------------


def test_a_context_goes_through_jit_whole():
    context = toy.context(
        rng=jax.random.key(3), step=jnp.int32(7), phase_step=jnp.int32(2), phase_steps=8
    )
    back = jax.jit(lambda context: context)(context)
    assert (back.phase, back.phase_steps, back.train) == ("main", 8, True)
    assert (back.step, back.phase_step) == (7, 2)
    np.testing.assert_array_equal(jax.random.key_data(back.rng), jax.random.key_data(context.rng))
    assert back.progress == jax.jit(lambda context: context.progress)(context) == 0.25


def test_outside_of_training_nothing_is_counted():
    context = evaluation_context()
    assert (context.phase, context.phase_steps, context.train) == ("", 0, False)
    assert context.step == context.phase_step == context.progress == 0


def test_streams_are_those_of_the_key_with_their_number_folded_in():
    context = dataclasses.replace(evaluation_context(), rng=jax.random.key(3))
    keys = [context.rng, context.stream(0), context.stream(1)]
    numbers = [float(jax.random.uniform(key)) for key in keys]
    assert len(set(numbers)) == 3
    wanted = jax.random.fold_in(jax.random.key(3), 1)
    np.testing.assert_array_equal(jax.random.key_data(keys[2]), jax.random.key_data(wanted))


# --- variables -----------------------------------------------------------------------------------


def test_networks_that_only_critics_train_have_no_averages():
    variables = {name: {"params": {}} for name in ("generator", "critic", "both", "fixed")}
    system = _system(
        {
            "main": {
                "generator": Player(("generator", "both"), _loss),
                "critic": Player(("critic", "both"), _loss, critic=True),
            }
        }
    )
    # What nobody trains is needed, too.
    assert averaged_networks(system, variables) == ("generator", "both", "fixed")


def test_parameters_are_taken_and_replaced_and_states_stay():
    variables = {
        "a": {"params": {"w": 1}, "batch_stats": {"mean": 2}},
        "b": {"params": {"w": 3}},
    }
    assert only_params(variables, ("a",)) == {"a": {"w": 1}}
    assert with_params(variables, {"a": {"w": 5}}) == {
        "a": {"params": {"w": 5}, "batch_stats": {"mean": 2}},
        "b": {"params": {"w": 3}},
    }
    assert variables["a"]["params"] == {"w": 1}
