"""Rendering in stages: models that encode the source once, and then render any number of poses."""

import functools
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from volsynth import conventions
from volsynth.diagnostics.volume_features import GENERATORS
from volsynth.export import exported_model
from volsynth.generation import render
from volsynth.generation.persons import Crop, Person
from volsynth.generation.render import RenderFn
from volsynth.poses.retargeting import Body
from volsynth.system import Batch


def stages_of(model: exported_model.Model) -> Any | None:
    """The network of a model that has the stages encode, move and render; None if it has none."""
    make = GENERATORS.get(model.config.system)
    return None if make is None else make(model.config)


def is_staged(model: exported_model.Model) -> bool:
    """Whether the model can encode the source once for many poses."""
    return stages_of(model) is not None


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
    """What a staged model computes of a person once.

    Attributes:
      volume: the encoded image.
      source: a batch of one with the source's fields, which the later stages read.
    """

    volume: jax.Array
    source: Batch


class StagedModel:
    """A model in two halves, each compiled once for all persons."""

    def __init__(self, model: exported_model.Model) -> None:
        """`model` has stages and is rebuilt from code."""
        generator = stages_of(model)
        parameters = flax.traverse_util.unflatten_dict(dict(model.parameters), sep="/")
        self._variables = {"params": parameters["generator"]}

        # Variables are arguments: jit would fold captured arrays into the program as constants.
        @jax.jit
        def encode(variables, image):
            return generator.apply(variables, image, method="encode")

        @jax.jit
        def finish(variables, volume, source, joints, visible):
            # Inside the program, so that one row goes to the device and is repeated there.
            def repeat(value):
                return jnp.broadcast_to(value, (len(joints), *value.shape[1:]))

            apply = functools.partial(generator.apply, variables)
            given = {**source, "target_joints": joints, "target_visible": visible}
            warped, _ = apply(repeat(volume), jax.tree.map(repeat, given), method="move")
            # A shape is known while the program is traced; the batch need not carry the side.
            side = float(source["source_image"].shape[2])
            return apply(warped, joints, visible, side, method="render")

        self._encode, self._finish = encode, finish

    def encode(self, person: Person) -> Features:
        """Runs the half that depends on the person alone."""
        source = {
            "source_image": conventions.to_float(person.image)[None],
            "source_joints": person.joints[None],
            "source_visible": person.body.visible[None],
        }
        return Features(self._encode(self._variables, source["source_image"]), source)

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
        joints, visible = render.joints_in_crop(render.padded(bodies, batch), crop)
        image = self._finish(self._variables, *features, joints, visible)
        return conventions.to_uint8(np.asarray(image)[: len(bodies)])


def render_staged(model: exported_model.Model, person: Person, crop: Crop, batch: int) -> RenderFn:
    """A function that renders a person whom the model encodes here, once.

    Each call runs only the warp, the pose stream, and what comes after them.

    Args:
      model: as `StagedModel` takes it.
      person: whom to render.
      crop: the square that the bodies stand in.
      batch: the number of bodies of all calls but the last.
    """
    staged = StagedModel(model)
    features = staged.encode(person)
    return lambda bodies: staged.render(features, bodies, crop, batch)
