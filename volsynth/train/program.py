"""What a config trains, as pure functions: the first state, and a step for every phase."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from volsynth.system import Batch, System
from volsynth.train import optim, phases, scaling, state, step


class Program(NamedTuple):
    """Functions that are not jitted yet: whoever does it chooses shardings and donation.

    Attributes:
      init: (rng, batch) -> TrainState.
      steps: of every phase, (TrainState, batch) -> (TrainState, metrics).
      ends: of every phase, its last step.
    """

    init: Callable[[jax.Array, Batch], state.TrainState]
    steps: Mapping[str, Callable[[state.TrainState, Batch], tuple[state.TrainState, Any]]]
    ends: Mapping[str, int]


def make(system: System, config: Any) -> Program:
    """The program of a system under a whole config; `train`, `optim` and `precision` are read.

    Raises:
      UserError: a value in one of these sections is not allowed.
    """
    ends = phases.ends(system, config.train.steps)
    optimisers = optim.make(config.optim, system, max(ends.values()))
    scales = scaling.make(config.precision, config.train.loss_scale)
    decay = config.train.average_decay
    return Program(
        init=state.initialiser(system, optimisers, scales),
        steps={phase: step.make(system, phase, optimisers, decay, scales) for phase in ends},
        ends=ends,
    )
