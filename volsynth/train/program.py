"""What a config trains, as pure functions, and these jitted for a mesh of devices."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from volsynth.system import Batch, System
from volsynth.train import mesh, optim, phases, scaling, state, step


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


class Placed(NamedTuple):
    """A program on a mesh.

    Attributes:
      init: () -> TrainState, on the mesh and only ever there: never whole on one device first.
      steps: of every phase, jitted, donating the state.
      state: shapes, dtypes and shardings of the state.
    """

    init: Callable[[], state.TrainState]
    steps: Mapping[str, Callable[[state.TrainState, Batch], tuple[state.TrainState, Any]]]
    state: state.TrainState


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


def place(program: Program, devices: Mesh, seed: int, batch: Batch, shard_state: bool) -> Placed:
    """The program on a mesh.

    Args:
      program: what `make` returned.
      devices: the mesh.
      seed: of the run.
      batch: whose shapes and dtypes batches have; initialisers ask for no more.
      shard_state: see `mesh.of_state`.
    """

    def init():
        zeros = {key: jnp.zeros(value.shape, value.dtype) for key, value in batch.items()}
        return program.init(jax.random.key(seed), zeros)

    shapes = jax.eval_shape(init)
    shardings = mesh.of_state(devices, shapes, shard_state)
    return Placed(
        init=jax.jit(init, out_shardings=shardings),
        steps={
            phase: jax.jit(
                mesh.within(devices, move),
                in_shardings=(shardings, mesh.of_batch(devices, batch)),
                out_shardings=(shardings, mesh.replicated(devices)),
                donate_argnums=0,
            )
            for phase, move in program.steps.items()
        },
        state=jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            shapes,
            shardings,
        ),
    )
