"""The functions that train a config: pure ones, and these jitted for a mesh of devices."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from volsynth.system import Batch, System
from volsynth.train import mesh, optim, phases, scaling, state, step


class Program(NamedTuple):
    """The pure functions that train a system under a config.

    They are not jitted yet: whoever jits them chooses shardings and donation.

    Attributes:
      system: the system that is trained.
      init: (rng, batch) -> TrainState.
      steps: the step function of each phase, (TrainState, batch) -> (TrainState, metrics).
      spans: the steps of each phase.
    """

    system: System
    init: Callable[[jax.Array, Batch], state.TrainState]
    steps: Mapping[str, Callable[[state.TrainState, Batch], tuple[state.TrainState, Any]]]
    spans: Mapping[str, range]


class PlacedProgram(NamedTuple):
    """The jitted functions of a program on a mesh of devices.

    Attributes:
      init: () -> TrainState. The state comes to be on the mesh: it is never whole on one device.
      steps: the step function of each phase, jitted, donating the state.
      state: shapes, dtypes and shardings of the state.
      batch: shapes, dtypes and shardings of a batch. With these and `state` a step is traced once
        for all: JAX remembers it.
    """

    init: Callable[[], state.TrainState]
    steps: Mapping[str, Callable[[state.TrainState, Batch], tuple[state.TrainState, Any]]]
    state: state.TrainState
    batch: Batch


def make(system: System, config: Any) -> Program:
    """The program of a system under a whole config.

    Args:
      system: the system to train.
      config: the whole config; its sections `train`, `optim` and `precision` are read.

    Raises:
      UserError: a value in one of these sections is not allowed.
    """
    spans = phases.spans(system, _steps(config))
    rules = step.Rules(
        optimisers=optim.make(config.optim, system, spans),
        average_decay=config.train.average_decay,
        scaling=scaling.make(config.precision, config.train.loss_scale),
    )
    return Program(
        system=system,
        init=state.initialiser(system, rules.optimisers, rules.scaling),
        steps={phase: step.make(system, phase, span, rules) for phase, span in spans.items()},
        spans=spans,
    )


def _steps(config):
    steps = config.train.steps

    return steps if isinstance(steps, int) else dict(steps)


def place(
    program: Program, devices: Mesh, seed: int, batch: Mapping[str, Any], shard_state: bool
) -> PlacedProgram:
    """The program jitted for a mesh.

    Args:
      program: the result of `make`.
      devices: the mesh.
      seed: the seed of the run.
      batch: arrays or shapes, with the shapes and dtypes of a batch of all processes together.
      shard_state: whether devices share the state, see `mesh.state_shardings`.
    """

    def init():
        # Zeros rather than the batch: its values would become constants of the compiled program.
        zeros = {key: jnp.zeros(value.shape, value.dtype) for key, value in batch.items()}
        return program.init(jax.random.key(seed), zeros)

    batch_shardings = mesh.batch_shardings(devices, batch)
    shapes = jax.eval_shape(init)
    shardings = mesh.state_shardings(devices, shapes, shard_state)
    return PlacedProgram(
        # The shardings decide where arrays are made, so that a state that fits no single device
        # can be made at all.
        init=jax.jit(init, out_shardings=shardings),
        steps={
            phase: jax.jit(
                mesh.traced_on(devices, move),
                in_shardings=(shardings, batch_shardings),
                out_shardings=(shardings, mesh.replicated(devices)),
                # The new state takes the memory of the old one: both at once would be twice.
                donate_argnums=0,
            )
            for phase, move in program.steps.items()
        },
        state=jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            shapes,
            shardings,
        ),
        batch={
            key: jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=batch_shardings[key])
            for key, value in batch.items()
        },
    )
