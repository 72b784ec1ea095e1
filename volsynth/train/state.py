"""The state of training, from which a run goes on exactly where it was."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from volsynth.system import Batch, System, averaged_networks, only_params
from volsynth.train.optim import Optimiser
from volsynth.train.scaling import UNSCALED, LossScaling


@flax.struct.dataclass
class TrainState:
    """The state of training, a pytree of which every leaf is an array.

    Attributes:
      step: int32, number of steps that are done.
      rng: the random key from which each step derives its own.
      variables: each network's parameters and states; see `volsynth.system.Variables`.
      averages: running averages of the variables of `averaged_networks`, which are evaluated and
        exported.
      optimisers: the state of each player's optimiser, by "PHASE/PLAYER".
      scales: the scale of each player's loss, by "PHASE/PLAYER".
      skipped: int32 [2] by "PHASE/PLAYER": the updates that were skipped because they were not
        finite, in all, and in a row up to now.
    """

    step: jax.Array
    rng: jax.Array
    variables: Mapping[str, Any]
    averages: Mapping[str, Any]
    optimisers: Mapping[str, Any]
    scales: Mapping[str, jax.Array]
    skipped: Mapping[str, jax.Array]


def initialiser(
    system: System, optimisers: Mapping[str, Optimiser], scaling: LossScaling = UNSCALED
) -> Callable[[jax.Array, Batch], TrainState]:
    """A pure function (rng, batch) -> TrainState; jit it with the shardings wanted.

    Args:
      system: the system to train.
      optimisers: an optimiser for each player, by "PHASE/PLAYER".
      scaling: how the scales of losses move.
    """

    def init(rng, batch):
        init_rng, step_rng = jax.random.split(rng)
        # Dicts of dicts, as the step returns them: jit compares the structure of both.
        variables = {name: dict(tree) for name, tree in system.init(init_rng, batch).items()}
        players = system.players
        for key, player in players.items():
            if unknown := {*player.trains} - {*variables}:
                raise ValueError(
                    f"{system.name}: {key} trains {', '.join(sorted(unknown))}; its init makes "
                    f"{', '.join(sorted(variables))}."
                )
        averaged = averaged_networks(system, variables)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            rng=step_rng,
            variables=variables,
            # Copies: a donated buffer must not appear twice in the state.
            averages={name: jax.tree.map(jnp.copy, variables[name]) for name in averaged},
            optimisers={
                key: optimisers[key].transform.init(only_params(variables, player.trains))
                for key, player in players.items()
            },
            scales={key: scaling.start() for key in players},
            skipped={key: jnp.zeros((2,), jnp.int32) for key in players},
        )

    return init
