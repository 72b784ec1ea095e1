"""The gradients of a training step: one forward pass, and the loss of each player.

The forward pass is differentiated only through those outputs that some loss of the phase reads.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun

from volsynth.system import (
    Batch,
    Context,
    Outputs,
    Player,
    States,
    System,
    Variables,
    only_params,
    with_params,
)
from volsynth.train import liveness, mesh


class Path(NamedTuple):
    """The way back through the forward pass, for one player.

    Attributes:
      live: places of the leaves of the outputs that the player's loss reads.
      pullback: turns gradients of these leaves into those of the parameters that the player trains.
    """

    live: tuple[int, ...]
    pullback: Callable[[list[jax.Array]], tuple[dict[str, Any]]]


class Forward(NamedTuple):
    """A forward pass: its outputs and states, and the way back to the parameters.

    Attributes:
      outputs: outputs of the system.
      states: new states of the networks that were applied.
      paths: for each player that is no critic, the way back to its parameters.
    """

    outputs: Outputs
    states: States
    paths: Mapping[str, Path]


def forward_pass(
    system: System,
    players: Mapping[str, Player],
    variables: Variables,
    batch: Batch,
    context: Context,
) -> Forward:
    """Runs the forward pass of a step, and keeps what is needed to differentiate it.

    Args:
      system: the system that is trained.
      players: the players of the phase that are no critics: those that get a gradient from it.
      variables: the variables of all networks before the step.
      batch: the batch of the step.
      context: the context of the step.
    """
    # Each once, in a fixed order: two players may train the same network.
    networks = tuple(dict.fromkeys(n for p in players.values() for n in p.trains))
    params = only_params(variables, networks)

    def forward(params):
        # Inside of what is differentiated: gradients are gathered, too, and not split by channels.
        current = mesh.gathered(with_params(variables, params))
        return system.forward(current, batch, context)

    # Traced once: the losses need the shapes of the outputs before the gradient is taken.
    traced, shapes = jax.make_jaxpr(forward, return_shape=True)(params)
    run, tree = jaxpr_as_fun(traced), jax.tree.structure(shapes)
    paths, leaves = {}, None
    for name, player in players.items():
        live = _live_leaves(player, variables, shapes[0], batch, context)

        def pruned(trained, live=live):
            # Zeros that flow back into an output which the player does not read would pass through
            # all of its network: XLA does not fold them, and an infinite derivative there would
            # make them NaN. As an auxiliary value the output has no gradient at all.
            found = run(*jax.tree.leaves({**params, **trained}))
            return [found[place] for place in live], found

        # For each player anew: the compiler finds that the forward passes are the same.
        _, pullback, found = jax.vjp(pruned, only_params(variables, player.trains), has_aux=True)
        paths[name] = Path(live, pullback)
        leaves = found if leaves is None else leaves
    # A phase of critics alone.
    leaves = run(*jax.tree.leaves(params)) if leaves is None else leaves
    outputs, states = jax.tree.unflatten(tree, leaves)
    return Forward(outputs, states, paths)


def _live_leaves(player, variables, outputs, batch, context) -> tuple[int, ...]:
    """The places of the leaves of the outputs that get a gradient from a player's loss."""

    def terms(outputs):
        return player.loss(variables, outputs, batch, context)[0]

    used = liveness.used_arguments(terms, outputs)
    # Integers, such as indices, have no gradient.
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


def player_gradients(
    player: Player,
    path: Path,
    variables: Variables,
    forward: Forward,
    batch: Batch,
    context: Context,
    scale: jax.Array,
) -> tuple[dict[str, jax.Array], dict[str, Any], States]:
    """The gradients of a player that is no critic.

    Args:
      player: the player.
      path: the player's way back through the forward pass.
      variables: the variables of all networks as they are now.
      forward: the forward pass of the step.
      batch: the batch of the step.
      context: the context of the step.
      scale: factor by which gradients are larger between the loss and the parameters, and there
        alone: half precision would lose small ones.

    Returns:
      The terms of the loss, and their sum as "loss"; the gradient for each network that the player
      trains; and the new states that the loss returned.
    """

    def loss(params, live):
        outputs = _with_leaves(forward.outputs, path.live, live)
        return _scaled_loss(player, variables, params, outputs, batch, context, scale)

    leaves = jax.tree.leaves(forward.outputs)
    live = [leaves[place] for place in path.live]
    params = only_params(variables, player.trains)
    # Directly, as the loss may apply the network itself; and through the outputs.
    (direct, through), (terms, states) = jax.grad(loss, argnums=(0, 1), has_aux=True)(params, live)
    (pulled,) = path.pullback(through)
    gradients = {n: jax.tree.map(jnp.add, direct[n], pulled[n]) for n in player.trains}
    return terms, _unscaled(gradients, scale), states


def critic_gradients(
    player: Player,
    variables: Variables,
    outputs: Outputs,
    batch: Batch,
    context: Context,
    scale: jax.Array,
) -> tuple[dict[str, jax.Array], dict[str, Any], States]:
    """The gradients of a critic, to which the outputs of the forward pass are constants.

    Arguments and results are those of `player_gradients`, with `outputs` of the forward pass.
    """
    outputs = jax.lax.stop_gradient(outputs)

    def loss(params):
        return _scaled_loss(player, variables, params, outputs, batch, context, scale)

    params = only_params(variables, player.trains)
    gradients, (terms, states) = jax.grad(loss, has_aux=True)(params)
    return terms, _unscaled(gradients, scale), states


def _scaled_loss(player, variables, params, outputs, batch, context, scale):
    """The scaled loss for other parameters; beside it the terms, not scaled, and the states."""
    current = mesh.gathered(with_params(variables, params))
    terms, states = player.loss(current, outputs, batch, context)
    value = sum(terms.values())
    return scale * value, ({**terms, "loss": value}, states)


def _unscaled(gradients, scale):
    # Parameters and their gradients are float32: what half precision could not hold fits here.
    return jax.tree.map(lambda gradient: gradient / scale, gradients)
