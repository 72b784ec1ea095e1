"""The contract between a method and the engine: networks, a forward pass, and players.

A system declares the networks to train and the losses to minimise. The engine (`volsynth.train`)
alone owns gradients, the check that they are finite, running averages of weights, random numbers,
donation and shardings. Neither knows the other. docs/systems.md shows how to add a system.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from volsynth import fields

Variables = Mapping[str, Mapping[str, Any]]
"""The variables of each network as Flax has them: network name to {"params": parameters, and
further collections such as "batch_stats"}. Parameters are float32 and moved by gradients; the other
collections are states, which a network updates by itself when it is applied."""

States = Mapping[str, Mapping[str, Any]]
"""New values of states, {network: {collection: tree}}, without "params": what Flax's
`apply(..., mutable=[collection])` returns of each network. It is {} where no network has one."""

Batch = Mapping[str, jax.Array | np.ndarray]
"""A batch of examples: arrays by name, as `volsynth.fields.BATCH` describes them."""

Outputs = Mapping[str, Any]
"""The outputs of a forward pass: everything that anyone may want to look at, score, or train on.
Outputs that no loss of a phase reads cost nothing in that phase. Those that each task needs are in
`volsynth.fields.TASK_OUTPUTS`."""

PARAMS = "params"
"""Name of the collection of a network that gradients move."""


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["rng", "step", "phase_step"],
    meta_fields=["phase", "phase_steps", "train"],
)
@dataclasses.dataclass(frozen=True)
class Context:
    """The circumstances of a forward pass or of a loss.

    Attributes:
      rng: a random key for this step. The forward pass and every loss of a step get the same one:
        whoever needs several streams folds in a constant of its own, see `stream`.
      step: int32 scalar, number of steps of the run that are done.
      phase_step: int32 scalar, number of steps of this phase that are done.
      phase: name of the phase; empty outside of training.
      phase_steps: number of steps of the phase; 0 outside of training.
      train: whether networks behave as in training (dropout, statistics of the batch).
    """

    rng: jax.Array
    step: jax.Array
    phase_step: jax.Array
    phase: str = ""
    phase_steps: int = 0
    train: bool = False

    @property
    def progress(self) -> jax.Array:
        """The share of the phase that is done, float32 scalar in [0, 1): 0 at its first step."""
        # Outside of training the phase has no steps.
        return jnp.asarray(self.phase_step, jnp.float32) / max(self.phase_steps, 1)

    def stream(self, number: int) -> jax.Array:
        """A random key that is independent of those of other numbers, and of `rng` itself."""
        return jax.random.fold_in(self.rng, number)


def evaluation_context() -> Context:
    """The context outside of training, where nothing is random and nothing is counted."""
    zero = jnp.zeros((), jnp.int32)
    # Flax asks for keys only where something is random, but the contract asks for one.
    return Context(rng=jax.random.key(0), step=zero, phase_step=zero)


class Player(NamedTuple):
    """A participant of the optimisation: some networks, and the loss that moves them.

    Attributes:
      trains: names of the networks whose parameters this player moves; to its loss all others are
        constants.
      loss: (variables, outputs, batch, context) -> (terms, states). Terms are scalars by name,
        weights already applied; the player minimises their sum. States are those that applying a
        network in the loss has updated, such as the vectors of a critic's spectral normalisation.
      critic: whether outputs arrive detached, so that the loss does not reach the forward pass.
        Critics move first. They may have several updates in a step, and have no running averages.
    """

    trains: tuple[str, ...]
    loss: Callable[[Variables, Outputs, Batch, Context], tuple[dict[str, jax.Array], States]]
    critic: bool = False


class Stages(NamedTuple):
    """A forward pass in three parts, for systems that need to encode a source image only once.

    Composed, they return the image that `forward` returns outside of training. All are pure
    functions; the batch of `encode` has the fields of the sources alone.

    Attributes:
      encode: (variables, batch) -> features, a dict of arrays [B, ...], or of pytrees of them; a
        volume of features [B, H, W, D, C] is called "volume".
      move: (variables, features, batch) -> moved, the features where the target pose has them.
      render: (variables, moved, batch) -> outputs.
    """

    encode: Callable[[Variables, Batch], dict[str, Any]]
    move: Callable[[Variables, dict[str, Any], Batch], dict[str, Any]]
    render: Callable[[Variables, dict[str, Any], Batch], Outputs]


@dataclasses.dataclass(frozen=True)
class System:
    """A method: its networks, its forward pass, and the players of each phase of training.

    Attributes:
      name: the method's name, which is its key in `volsynth.systems`.
      paper: the publication that the method comes from.
      init: (rng, batch) -> variables of every network.
      forward: (variables, batch, context) -> (outputs, states). States of networks that no player
        of the phase trains are dropped.
      phases: phase name to its players, in the order in which they move; phases run one after the
        other. The same player name in two phases means two optimisers.
      inputs: names of the fields of a batch that training or evaluating the system reads. They
        decide what is decoded, and are the shapes that networks are built for.
      frames: length of the clips that it reads, T of `volsynth.fields`; 1 where it reads none.
      task: the kind of its outputs, a key of `volsynth.fields.TASK_OUTPUTS`; it decides the scores.
      stages: the forward pass in three parts, where a source can be encoded once; else None.
      size_step: for systems that take images of any size, the number of pixels of which every
        image's side is a multiple; 0 for those that take the config's image size alone.
      coarsest_stride: how many rows of the image one row of the coarsest feature map stands for
        that devices may share; the image's height is split only where this divides its parts.
      file_keys: keys of the config that name files, such as "loss.features". A run may go on with
        another path in them: what the file holds must be in `notes`.
      later_keys: keys of the config that runs of earlier versions lack, with the values that mean
        what those runs did, such as {"loss.structure": 0.0}: so they can still be scored and
        continued. The networks and losses must have the same defaults.
      figures: numbers that the paper prints about its networks, for comparison in
        `volsynth describe`; "of" says of which variant.
      notes: facts that belong in every log and result, such as which features a loss compares. A
        run is continued only with the same ones.

    Raises:
      ValueError: the parts do not fit together.
    """

    name: str
    paper: str
    init: Callable[[jax.Array, Batch], Variables]
    forward: Callable[[Variables, Batch, Context], tuple[Outputs, States]]
    phases: Mapping[str, Mapping[str, Player]]
    inputs: tuple[str, ...] = fields.PAIR
    frames: int = 1
    task: str = "image"
    stages: Stages | None = None
    size_step: int = 0
    coarsest_stride: int = 4
    file_keys: tuple[str, ...] = ()
    later_keys: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    figures: Mapping[str, float | str] = dataclasses.field(default_factory=dict)
    notes: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task not in fields.TASK_OUTPUTS:
            raise ValueError(f"{self.name}: unknown task {self.task!r} ({[*fields.TASK_OUTPUTS]}).")
        if not self.phases or not all(self.phases.values()):
            raise ValueError(f"{self.name}: every system has a phase, every phase a player.")
        # Here, and not where a name is first used: in the second phase of a run that may be days
        # later.
        players = {name for phase in self.phases.values() for name in phase}
        # Sections of config.optim are called by either; metrics are called PLAYER/METRIC.
        if players & {*self.phases}:
            raise ValueError(f"{self.name}: {players & {*self.phases}} names a phase and a player.")
        if any("/" in name for name in players | {*self.phases}):
            raise ValueError(f"{self.name}: names of phases and players must have no slash.")
        if any(not player.trains for phase in self.phases.values() for player in phase.values()):
            raise ValueError(f"{self.name}: every player trains some network.")

    def batch_spec(self, batch_size: int, image_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and dtypes of the batches that training gives to the system.

        Args:
          batch_size: examples in a batch, B.
          image_size: side of the images, S pixels.

        Raises:
          UserError: an input is no field of a batch.
        """
        shapes = fields.shapes(self.inputs, batch_size, image_size, self.frames)
        return {name: jax.ShapeDtypeStruct(*form) for name, form in shapes.items()}

    @property
    def players(self) -> dict[str, Player]:
        """Every player of every phase, by "PHASE/PLAYER"."""
        return {
            f"{phase}/{name}": player
            for phase, players in self.phases.items()
            for name, player in players.items()
        }


def averaged_networks(system: System, variables: Variables) -> tuple[str, ...]:
    """The networks that have running averages: all but those that only critics train.

    Evaluation and export need these, and also networks that no player trains.
    """
    # A network that a critic and another player train is one of the other player's.
    by_critics = {n for p in system.players.values() if p.critic for n in p.trains}
    by_others = {n for p in system.players.values() if not p.critic for n in p.trains}
    return tuple(name for name in variables if name not in by_critics - by_others)


def only_params(variables: Variables, networks: tuple[str, ...]) -> dict[str, Any]:
    """The parameters of some networks, {network: tree}, without their states."""
    return {name: variables[name][PARAMS] for name in networks}


def with_params(variables: Variables, params: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The variables with the parameters of some networks replaced; their states stay."""
    changed = {name: {**variables[name], PARAMS: tree} for name, tree in params.items()}
    return {**variables, **changed}
