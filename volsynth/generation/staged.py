"""Rendering in stages: models that encode the source once, and then render any number of poses."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from volsynth import conventions, systems
from volsynth.errors import UserError
from volsynth.export import exported_model, forward
from volsynth.generation import render
from volsynth.generation.persons import Crop, Person
from volsynth.generation.render import RenderFn
from volsynth.poses.retargeting import Body
from volsynth.system import Batch, System


def system_of(model: exported_model.Model) -> System | None:
    """The system of a model whose networks' code has stages; None if it has none."""
    if model.config.system not in systems.SYSTEMS:
        return None
    try:
        system = systems.make(model.config)
    except UserError:
        # A config of another version: its program runs all the same, but only as a whole.
        return None
    return system if system.stages else None


def is_staged(model: exported_model.Model) -> bool:
    """Whether the model can encode the source once for many poses."""
    return system_of(model) is not None


def load_staged(path: str | os.PathLike[str]) -> exported_model.Model:
    """Loads an exported model that makes pictures, rebuilt from code if it has stages.

    Raises:
      UserError: as `render.load_generator`.
    """
    model = render.load_generator(path)
    if not is_staged(model):
        return model
    # An exported program is one piece; only the networks' code can run stage by stage.
    return render.load_generator(path, program=False)


class Features(NamedTuple):
    """The result of the stage that a staged model runs once for a person.

    Attributes:
      features: of the source, as `System.stages.encode` makes them.
      source: a batch of one with the source's fields, which the later stages read.
    """

    features: dict[str, Any]
    source: Batch

    @property
    def nbytes(self) -> int:
        """The bytes that the features take."""
        return sum(value.nbytes for value in jax.tree.leaves(self.features))


class StagedModel:
    """A model in two halves, each compiled once for all persons."""

    def __init__(self, model: exported_model.Model) -> None:
        """Takes a model that has stages and is rebuilt from code."""
        system = system_of(model)
        shapes = forward.variable_shapes(system, model.image_size)
        self._variables = forward.from_names(shapes, model.parameters)
        self._further = model.looks_at_two
        stages = system.stages

        # Variables are arguments: jit would fold captured arrays into the program as constants.
        @jax.jit
        def finish(variables, features, source, joints, visible):
            # Inside the program, so that one row goes to the device and is repeated there.
            def repeat(value):
                return jnp.broadcast_to(value, (len(joints), *value.shape[1:]))

            batch = {
                **jax.tree.map(repeat, source),
                "target_joints": joints,
                "target_visible": visible,
            }
            moved = stages.move(variables, jax.tree.map(repeat, features), batch)
            return stages.render(variables, moved, batch)["image"]

        self._encode, self._finish = jax.jit(stages.encode), finish

    def encode(self, person: Person) -> Features:
        """Runs the half that depends on the person alone."""
        source = render.person_fields(person, self._further)
        return Features(self._encode(self._variables, source), source)

    def render(
        self, features: Features, bodies: Sequence[Body], crop: Crop, batch: int
    ) -> UInt8[np.ndarray, "B S S 3"]:
        """Renders the person as bodies that stand in one square.

        Args:
          features: of the person, by `encode`.
          bodies: at most `batch`.
          crop: the square that the bodies stand in.
          batch: how many are rendered at once; each new number is compiled once.
        """
        # Rows that only fill the batch are cut off again; another size would be compiled anew.
        joints, visible = render.joints_in_crop(render.pad_bodies(bodies, batch), crop)
        image = self._finish(self._variables, *features, joints, visible)
        return conventions.to_uint8(np.asarray(image)[: len(bodies)])


def render_staged(model: exported_model.Model, person: Person, crop: Crop, batch: int) -> RenderFn:
    """A function that renders a person whom the model encodes here, once.

    Each call runs only the warp, the pose stream, and what comes after them.

    Args:
      model: model that has stages, rebuilt from code.
      person: whom to render.
      crop: the square that the bodies stand in.
      batch: the number of bodies of all calls but the last.
    """
    staged = StagedModel(model)
    features = staged.encode(person)
    return lambda bodies: staged.render(features, bodies, crop, batch)
