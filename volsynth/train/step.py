"""The training step: one forward pass that all players share, and the updates of each player.

Critics move first, in the order of the phase, on detached outputs; then all other players, against
the critics as they are now. The gradient of such a player is that of its loss with respect to the
parameters it trains, directly and through the outputs of the forward pass.

States (running statistics, vectors of spectral norms) follow one rule. Those that a player's loss
returns are kept if that player's update is finite; those of the forward pass are kept if the
updates of all players are. States of networks that no player of the phase trains stay as they
are.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from volsynth.system import (
    PARAMS,
    Batch,
    Context,
    States,
    System,
    only_params,
)
from volsynth.train.gradients import critic_gradients, forward_pass, player_gradients
from volsynth.train.optim import Optimiser
from volsynth.train.scaling import UNSCALED, LossScaling
from volsynth.train.state import TrainState

_CRITIC_UPDATES = 2**31 - 1
"""The number of the random stream of a critic's updates; losses count theirs from 0."""

Metrics = dict[str, jax.Array]
"""The logged numbers of a step: float or int32 scalars by PLAYER/METRIC."""


class Rules(NamedTuple):
    """The rules from the config by which a step changes the state.

    Attributes:
      optimisers: an optimiser for each player, by "PHASE/PLAYER".
      average_decay: decay of the running averages, in [0, 1).
      scaling: the rule by which the scales of losses move.
    """

    optimisers: Mapping[str, Optimiser]
    average_decay: float
    scaling: LossScaling = UNSCALED


def make(
    system: System, phase: str, span: range, rules: Rules
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """The pure step function of one phase; jit it, donating the state.

    Args:
      system: the system to train.
      phase: name of the phase.
      span: the steps of the phase.
      rules: optimisers, averages and scales.

    Returns:
      A function (state, batch) -> (state after the step, metrics).
    """
    players = system.phases[phase]
    critics = {name: player for name, player in players.items() if player.critic}
    others = {name: player for name, player in players.items() if not player.critic}
    trained = frozenset(network for player in players.values() for network in player.trains)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        context = Context(
            # From the number of the step, and not split off: a run that resumes has the same keys.
            rng=jax.random.fold_in(state.rng, state.step),
            step=state.step,
            phase_step=state.step - span.start,
            phase=phase,
            phase_steps=len(span),
            train=True,
        )
        before = state
        forward = forward_pass(system, others, state.variables, batch, context)
        metrics: Metrics = {}
        for name, player in critics.items():
            state, logged = _move_critic(
                state, f"{phase}/{name}", player, forward.outputs, batch, context, rules, trained
            )
            metrics |= {f"{name}/{key}": value for key, value in logged.items()}
        forward_states = _of_networks(forward.states, trained)
        are_finite = _all_finite(forward_states)
        # All before the first of them moves: two that train one network see the same network.
        found = {
            name: player_gradients(
                *(player, forward.paths[name], state.variables, forward, batch, context),
                state.scales[f"{phase}/{name}"],
            )
            for name, player in others.items()
        }
        for name, (terms, gradients, states) in found.items():
            states = _of_networks(states, trained)
            _check_distinct(name, states, forward_states)
            state, logged = update(
                state, f"{phase}/{name}", gradients, terms["loss"], states, rules, are_finite
            )
            logged = {**terms, **logged}
            metrics |= {f"{name}/{key}": value for key, value in logged.items()}
        moved: dict[str, jax.Array] = {}
        for name, player in players.items():
            # Over all updates of the step: a critic may have several, and the last one may be fine.
            key = f"{phase}/{name}"
            was_finite = state.skipped[key][0] == before.skipped[key][0]
            # One player's overflow shows that the batch or the forward pass may be bad for all: its
            # running statistics would keep that for long after.
            are_finite &= was_finite
            for network in player.trains:
                moved[network] = moved.get(network, False) | was_finite
        state = _merged(state, forward_states, are_finite)
        state = _with_averages(state, moved, _average_decay(context, rules))
        return state.replace(step=state.step + 1), metrics

    return step


def _move_critic(state, key, player, outputs, batch, context, rules, trained):
    """All updates of a critic in one step, on one batch; several have keys of their own."""

    def once(state, context):
        terms, gradients, states = critic_gradients(
            player, state.variables, outputs, batch, context, state.scales[key]
        )
        states = _of_networks(states, trained)
        state, logged = update(state, key, gradients, terms["loss"], states, rules)
        return state, {**terms, **logged}

    updates = rules.optimisers[key].updates
    if updates == 1:
        return once(state, context)
    # A loop is compiled once, however many updates there are. Each update has a key of its own:
    # with the same one, points of a gradient penalty would be drawn at the same places again.
    state, metrics = jax.lax.scan(
        lambda state, number: once(
            state,
            dataclasses.replace(
                context, rng=jax.random.fold_in(context.stream(_CRITIC_UPDATES), number)
            ),
        ),
        state,
        jnp.arange(updates),
    )
    return state, jax.tree.map(lambda values: values[-1], metrics)


def _of_networks(states: States, networks) -> States:
    # Networks that the phase does not train are frozen, with their statistics.
    return {name: tree for name, tree in states.items() if name in networks}


def _check_distinct(name, states, forward_states):
    """Raises where a loss and the forward pass update the same state: one would be lost."""
    for network, collections in states.items():
        for kind in collections.keys() & forward_states.get(network, {}).keys():
            raise ValueError(
                f"the forward pass and the loss of {name!r} both return {kind!r} of the network "
                f"{network!r}; only one of them may update a state."
            )


def _all_finite(tree) -> jax.Array:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in leaves] or [True]))


def _where(condition, new, old):
    """A tree with the leaves of `new` where the condition holds, else with those of `old`."""
    # Not lax.cond: both trees are there already, and choosing needs no branch on the device.
    return jax.tree.map(lambda n, o: jnp.where(condition, n, o), new, old)


def _average_decay(context: Context, rules: Rules) -> jax.Array:
    """The decay of the running averages at a step.

    Their memory grows with the phase up to what the config says, so that what the networks were at
    the start of the phase does not linger in them.
    """
    done = context.phase_step
    return jnp.minimum(rules.average_decay, (1 + done) / (10 + done))


def _averaged(average, value, decay):
    """A leaf of the running averages after a step; integers, such as counts, are copied."""
    # optax.incremental_update would make floats of integers.
    if not jnp.issubdtype(value.dtype, jnp.inexact):
        return value
    return decay * average + (1 - decay) * value


def update(
    state: TrainState,
    key: str,
    gradients: Any,
    loss: jax.Array,
    states: States,
    rules: Rules,
    also_finite: jax.Array | bool = True,
) -> tuple[TrainState, Metrics]:
    """Updates one player, unless something is not finite: then only the skip is counted.

    Parameters, the optimiser's state and the networks' states change together or not at all. The
    scale of the loss follows in either case. Running averages are not touched here: they follow
    once a step, however many players move a network.

    Args:
      state: the state before the update; only what belongs to this player changes.
      key: the player, "PHASE/PLAYER".
      gradients: network to the gradient of its parameters.
      loss: value of the player's loss.
      states: new states that the loss returned.
      rules: optimisers, averages and scales.
      also_finite: whether the states of the forward pass were finite.

    Returns:
      The state after the update, and the player's metrics other than its terms.
    """
    optimiser = rules.optimisers[key]
    # One number that is not finite makes the norm so: no gradient needs to be looked at twice.
    norm = optax.tree.norm(gradients)
    # The loss as well: one of minus infinity has a gradient of zero, and would be the lowest ever
    # to a rate that falls on a plateau.
    finite = jnp.isfinite(norm) & jnp.isfinite(loss) & _all_finite(states) & also_finite
    params = only_params(state.variables, tuple(gradients))
    updates, optimiser_state = optimiser.transform.update(
        gradients, state.optimisers[key], params, value=loss
    )
    moved = optax.apply_updates(params, updates)
    # As the first Wasserstein GAN bounds its critic's slope (Arjovsky et al. 2017, algorithm 1).
    if optimiser.clip_weights:
        bound = optimiser.clip_weights
        moved = jax.tree.map(lambda leaf: jnp.clip(leaf, -bound, bound), moved)

    new = {name: {PARAMS: tree} for name, tree in moved.items()}
    state = _merged(state, new, finite)
    state = _merged(state, states, finite)
    # Counted here, as the loop reads metrics a step late, and not those of every step are logged.
    total, in_a_row = state.skipped[key]
    missed = 1 - finite.astype(jnp.int32)
    skipped = jnp.stack([total + missed, (in_a_row + 1) * missed])
    state = state.replace(
        optimisers={
            **state.optimisers,
            key: _where(finite, optimiser_state, state.optimisers[key]),
        },
        scales={**state.scales, key: rules.scaling.next(state.scales[key], finite)},
        skipped={**state.skipped, key: skipped},
    )
    return state, {
        "gradient_norm": norm,
        "loss_scale": state.scales[key],
        "skipped": skipped[0],
        "skipped_in_a_row": skipped[1],
    }


def _merged(state, new, finite):
    """The state with new collections of some networks; unchanged if they are not finite.

    Args:
      new: {network: {collection: tree}}.
    """
    variables = dict(state.variables)
    for name, collections in new.items():
        # A network's other collections stay as they are.
        old = {kind: state.variables[name][kind] for kind in collections}
        variables[name] = {**state.variables[name], **_where(finite, collections, old)}
    return state.replace(variables=variables)


def _with_averages(state, moved, decay):
    """The state after the running averages have followed the networks that were moved.

    Args:
      moved: {network: whether some player has moved it, bool scalar}.
    """
    averages = dict(state.averages)
    for name in [network for network in averages if network in moved]:
        # Parameters and states alike: evaluation needs statistics that fit the averaged weights.
        after = jax.tree.map(
            functools.partial(_averaged, decay=decay), averages[name], state.variables[name]
        )
        averages[name] = _where(moved[name], after, averages[name])
    return state.replace(averages=averages)
