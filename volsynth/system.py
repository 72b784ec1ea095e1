"""The contract between a method and the engine: networks, a forward pass, and players.

A system says what there is to train and what is to be minimised. The engine (`volsynth.train`)
alone owns gradients, the check that they are finite, averages of weights, random numbers, donation
and shardings. Neither knows the other.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax

Variables = Mapping[str, Any]
"""Network name to its parameters, a pytree of float32 arrays."""

Batch = Mapping[str, jax.Array]
"""What `data.pipeline` yields; see `fields.BATCH`."""

Outputs = Mapping[str, Any]
"""Everything of a forward pass that anyone may want to look at or score; jit prunes the rest.
What it has at least depends on the system's task, of the batch's targets:

* image: "image", float32 [B, H, W, 3] in [-1, 1].
* image_and_pose: that, and "pose_joints", float32 [B, 15, 3], the source's, pixels.
* pose: "joints_mm", float32 [B, 15, 3], mm, relative to the pelvis, and "joints_px", float32
  [B, 15, 2], pixels of the image.
"""

Task = Literal["image", "image_and_pose", "pose"]
"""What a system makes of a batch: the target's picture from the source's and the target's pose, or
the target's pose from its picture. Evaluation goes by it."""


class Player(NamedTuple):
    """One side of the game.

    Attributes:
      trains: the networks this player moves; for its loss all others are constants.
      loss: (variables, outputs, batch) -> {term: scalar}, weights already applied; the player
        minimises their sum.
      critic: if True, outputs arrive detached: the loss does not reach the forward pass.
    """

    trains: tuple[str, ...]
    loss: Callable[[Variables, Outputs, Batch], dict[str, jax.Array]]
    critic: bool = False


@dataclasses.dataclass(frozen=True)
class System:
    """A method.

    Attributes:
      name: of the method; the key in `volsynth.systems`.
      paper: where it comes from.
      init: (rng, batch) -> {network: variables}.
      forward: (variables, batch, rng, *, train) -> (outputs, new_state). `new_state` holds what a
        network updates by itself in a forward pass (running statistics), {} where there is none.
      phases: phase name to its players, in the order in which they move; phases run one after the
        other.
      task: what it makes.
      figures: what the paper prints of its networks, for comparison in `describe`; "of" says of
        which of them.
      notes: facts that belong into every log and result, such as which features a loss compares. A
        run is continued only with the same ones.
    """

    name: str
    paper: str
    init: Callable[[jax.Array, Batch], Variables]
    forward: Callable[..., tuple[Outputs, Variables]]
    phases: Mapping[str, Mapping[str, Player]]
    task: Task = "image"
    figures: Mapping[str, float | str] = dataclasses.field(default_factory=dict)
    notes: Mapping[str, str] = dataclasses.field(default_factory=dict)
