"""One training step: one forward pass that all players share, and the updates of each of them.

Critics move first, in the order of the phase, on detached outputs; then everyone else, against the
critics as they are now. The gradient of such a player is that of its loss with respect to the
parameters it trains, directly and through the outputs of the forward pass.

States (running statistics, vectors of spectral norms) follow one rule. Those that a player's loss
returns are kept if that player's update is finite; those of the forward pass are kept if the
updates of all players are. States of networks that no player of the phase trains
stay as they are.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.extend.core import jaxpr_as_fun

from volsynth.system import (
    PARAMS,
    Batch,
    Context,
    Outputs,
    Player,
    States,
    System,
    only_params,
    with_params,
)
from volsynth.train import liveness, mesh
from volsynth.train.optim import Optimiser
from volsynth.train.scaling import UNSCALED, LossScaling
from volsynth.train.state import TrainState

Metrics = dict[str, jax.Array]
"""What is logged of a step: float or int32 scalars by PLAYER/METRIC."""


class Rules(NamedTuple):
    """What moves the state, besides the system.

    Attributes:
      optimisers: an optimiser for each player, by "PHASE/PLAYER".
      average_decay: of the running averages, in [0, 1).
      scaling: how the scales of losses move.
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
    """
    players = system.phases[phase]
    critics = {name: player for name, player in players.items() if player.critic}
    others = {name: player for name, player in players.items() if not player.critic}
    trained = frozenset(network for player in players.values() for network in player.trains)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        context = Context(
            rng=jax.random.fold_in(state.rng, state.step),
            step=state.step,
            phase_step=state.step - span.start,
            phase=phase,
            phase_steps=len(span),
            train=True,
        )
        forward = _forward(system, others, state, batch, context)
        metrics: Metrics = {}
        for name, player in critics.items():
            state, found = _move_critic(
                state, f"{phase}/{name}", player, forward.outputs, batch, context, rules, trained
            )
            metrics |= {f"{name}/{key}": value for key, value in found.items()}
        states_of_forward = _of_networks(forward.states, trained)
        are_finite = _all_finite(states_of_forward)
        for name, player in others.items():
            key = f"{phase}/{name}"
            terms, gradients, states = _gradients(
                player, state.variables, forward, batch, context, state.scales[key]
            )
            state, found = update(
                state,
                key,
                gradients,
                terms["loss"],
                _of_networks(states, trained),
                context,
                rules,
                also_finite=are_finite,
            )
            metrics |= {f"{name}/{key}": value for key, value in {**terms, **found}.items()}
        for name in players:
            are_finite &= metrics[f"{name}/skipped_in_a_row"] == 0
        state = _merged(state, states_of_forward, are_finite, context, rules)
        return state.replace(step=state.step + 1), metrics

    return step


class _Forward(NamedTuple):
    """A forward pass: its outputs and states, and the way back to the parameters.

    Attributes:
      outputs: of the system.
      states: of the networks that it applied.
      live: which leaves of the outputs some loss reads, by their places.
      pullback: gradients of the live leaves to those of the trained parameters.
    """

    outputs: Outputs
    states: States
    live: tuple[int, ...]
    pullback: Callable[[list[jax.Array]], tuple[dict[str, Any]]]


def _forward(system, players, state, batch, context) -> _Forward:
    networks = tuple(dict.fromkeys(n for p in players.values() for n in p.trains))
    params = only_params(state.variables, networks)

    def forward(params):
        variables = mesh.gathered(with_params(state.variables, params))
        return system.forward(variables, batch, context)

    # Traced once: the losses need the shapes of the outputs before the gradient is taken.
    traced, shapes = jax.make_jaxpr(forward, return_shape=True)(params)
    live = _live_leaves(players, state.variables, shapes[0], batch, context)

    def pruned(params):
        # Zeros that flow back into an output which nobody reads would pass through all of its
        # network: XLA does not fold them. As an auxiliary value it has no gradient at all.
        leaves = jaxpr_as_fun(traced)(*jax.tree.leaves(params))
        return [leaves[place] for place in live], leaves

    _, pullback, leaves = jax.vjp(pruned, params, has_aux=True)
    outputs, states = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    return _Forward(outputs, states, live, pullback)


def _live_leaves(players, variables, outputs, batch, context) -> tuple[int, ...]:
    """The places of the leaves of the outputs that get a gradient from some player's loss."""

    def total(outputs):
        return [player.loss(variables, outputs, batch, context)[0] for player in players.values()]

    used = liveness.used_arguments(total, outputs)
    leaves = jax.tree.leaves(outputs)
    return tuple(
        place
        for place, leaf in enumerate(leaves)
        if used[place] and jnp.issubdtype(leaf.dtype, jnp.inexact)
    )


def _with_leaves(outputs, live, values):
    """The outputs with other values in some leaves."""
    leaves, tree = jax.tree.flatten(outputs)
    for place, value in zip(live, values):
        leaves[place] = value
    return jax.tree.unflatten(tree, leaves)


def _gradients(player: Player, variables, forward: _Forward, batch, context, scale):
    """The terms of a player's loss, the gradient for each network it trains, and new states.

    Only between the loss and the parameters is the gradient `scale` times as large.
    """

    def total(params, live):
        outputs = _with_leaves(forward.outputs, forward.live, live)
        current = mesh.gathered(with_params(variables, params))
        terms, states = player.loss(current, outputs, batch, context)
        value = sum(terms.values())
        return scale * value, ({**terms, "loss": value}, states)

    leaves = jax.tree.leaves(forward.outputs)
    live = [leaves[place] for place in forward.live]
    params = only_params(variables, player.trains)
    (direct, through), (terms, states) = jax.grad(total, argnums=(0, 1), has_aux=True)(params, live)
    (pulled,) = forward.pullback(through)
    gradients = {n: jax.tree.map(jnp.add, direct[n], pulled[n]) for n in player.trains}
    return terms, _unscaled(gradients, scale), states


def _critic_gradients(player: Player, variables, outputs, batch, context, scale):
    """As `_gradients`, of a player for whom the outputs are constants."""
    outputs = jax.lax.stop_gradient(outputs)

    def total(params):
        current = mesh.gathered(with_params(variables, params))
        terms, states = player.loss(current, outputs, batch, context)
        value = sum(terms.values())
        return scale * value, ({**terms, "loss": value}, states)

    params = only_params(variables, player.trains)
    gradients, (terms, states) = jax.grad(total, has_aux=True)(params)
    return terms, _unscaled(gradients, scale), states


def _move_critic(state, key, player, outputs, batch, context, rules, trained):
    """All updates of a critic in one step, on one batch; several have keys of their own."""

    def once(state, context):
        terms, gradients, states = _critic_gradients(
            player, state.variables, outputs, batch, context, state.scales[key]
        )
        states = _of_networks(states, trained)
        state, found = update(state, key, gradients, terms["loss"], states, context, rules)
        return state, {**terms, **found}

    updates = rules.optimisers[key].updates
    if updates == 1:
        return once(state, context)
    # A loop is compiled once, however many updates there are.
    state, metrics = jax.lax.scan(
        lambda state, number: once(state, dataclasses.replace(context, rng=context.stream(number))),
        state,
        jnp.arange(updates),
    )
    return state, jax.tree.map(lambda values: values[-1], metrics)


def _unscaled(gradients, scale):
    return jax.tree.map(lambda gradient: gradient / scale, gradients)


def _of_networks(states: States, networks) -> States:
    return {name: tree for name, tree in states.items() if name in networks}


def _all_finite(tree) -> jax.Array:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in leaves] or [True]))


def _where(condition, new, old):
    """A tree with the leaves of one or of the other."""
    return jax.tree.map(lambda n, o: jnp.where(condition, n, o), new, old)


def _average_decay(context: Context, rules: Rules) -> jax.Array:
    """The decay of the running averages at a step.

    Their memory grows with the phase up to what the config says, so that what the networks were at
    the start of the phase does not linger in them.
    """
    done = context.phase_step
    return jnp.minimum(rules.average_decay, (1 + done) / (10 + done))


def _averaged(average, value, decay):
    """A leaf of the averages after a step; integers, such as counts, are copied."""
    if not jnp.issubdtype(value.dtype, jnp.inexact):
        return value
    return decay * average + (1 - decay) * value


def update(
    state: TrainState,
    key: str,
    gradients: Any,
    loss: jax.Array,
    states: States,
    context: Context,
    rules: Rules,
    also_finite: jax.Array | bool = True,
) -> tuple[TrainState, Metrics]:
    """Moves one player, unless something is not finite: then only the skip is counted.

    Parameters, the optimiser's state, running averages and states move together or not at all. The
    scale of the loss follows in either case.

    Args:
      state: before; only what belongs to this player changes.
      key: "PHASE/PLAYER".
      gradients: network to the gradient of its parameters.
      loss: the player's loss.
      states: new states that the loss returned.
      context: of the step.
      rules: optimisers, averages and scales.
      also_finite: whether what the gradients came from was finite elsewhere, too.
    """
    optimiser = rules.optimisers[key]
    norm = optax.tree.norm(gradients)
    finite = jnp.isfinite(norm) & _all_finite(states) & also_finite
    params = only_params(state.variables, tuple(gradients))
    updates, optimiser_state = optimiser.transform.update(
        gradients, state.optimisers[key], params, value=loss
    )
    moved = optax.apply_updates(params, updates)
    if optimiser.clip_weights:
        bound = optimiser.clip_weights
        moved = jax.tree.map(lambda leaf: jnp.clip(leaf, -bound, bound), moved)

    new = {name: {PARAMS: tree} for name, tree in moved.items()}
    state = _merged(state, new, finite, context, rules)
    state = _merged(state, states, finite, context, rules)
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


def _merged(state, new, finite, context, rules):
    """The state with new collections of some networks and their averages, where all is finite."""
    decay = _average_decay(context, rules)
    variables, averages = dict(state.variables), dict(state.averages)
    for name, collections in new.items():
        old = {kind: state.variables[name][kind] for kind in collections}
        variables[name] = {**state.variables[name], **_where(finite, collections, old)}
        if name in averages:
            before = {kind: averages[name][kind] for kind in collections}
            after = jax.tree.map(
                functools.partial(_averaged, decay=decay), before, dict(collections)
            )
            averages[name] = {**averages[name], **_where(finite, after, before)}
    return state.replace(variables=variables, averages=averages)
