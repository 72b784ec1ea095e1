"""Exported models: read from their folders, checked, and called.

A folder is written by `export.write` and described in docs/export.md. There are two ways to run a
model: its StableHLO program, which needs none of the networks' code, and the code, rebuilt from
config and parameters. The program is all that is executed of a folder, and foreign functions that
it calls must be among those that JAX itself calls for networks.
"""

import math
import os
import pathlib
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from volsynth import fields
from volsynth.config import config_from_dict
from volsynth.data import fake
from volsynth.errors import UserError, did_you_mean
from volsynth.export import call_arguments, model_folder
from volsynth.export.model_folder import CARD, CONFIG, PROGRAM, REPAIR_HINT
from volsynth.system import Batch

FOREIGN_CALLS = frozenset(
    {
        # Singular values, on CPUs, CUDA devices and TPUs.
        *("lapack_sgesdd_ffi", "cusolver_gesvdj_ffi", "cusolver_gesvd_ffi"),
        *("Qr", "Eigh", "ProductOfElementaryHouseholderReflectors"),
        # The check that the batch sizes of the arguments agree.
        "shape_assertion",
    }
)
"""Names of the functions outside of StableHLO that a program may call; others could do anything."""

Prediction = Any
"""The prediction of a model, as `volsynth.tasks.base.Prediction`. Nothing is imported from that
package, so that a program runs without the networks' code."""


class Model:
    """An exported model, which can be called.

    Attributes:
      path: path of its folder.
      config: config of the run, without paths of the machine that trained it.
      card: contents of `card.json`: the origin of the model, its inputs, outputs and scores.
      task: the kind of its outputs, a key of `volsynth.fields.TASK_OUTPUTS`.
      image_size: S, side of its images, pixels; of models of any size the smallest.
      size_step: number of pixels of which S is a multiple in a model of any size; 0 in others.
      inputs: names of the fields of a batch that it takes; see `volsynth.fields.BATCH`.
      is_program: whether it runs the StableHLO program rather than the networks' code.
    """

    def __init__(
        self,
        path: pathlib.Path,
        config: Any,
        card: Mapping[str, Any],
        parameters: Mapping[str, np.ndarray],
        run: Callable[[Mapping[str, jax.Array], Batch], Prediction],
        is_program: bool,
    ) -> None:
        """Use `load`, which checks that the parts fit together."""
        self.path, self.config, self.card, self.is_program = path, config, card, is_program
        self.task: str = card["task"]
        self.image_size: int = card["image_size"]
        self.size_step = _size_step(card)
        self.inputs = tuple(card["inputs"])
        # On the device once, and not with every call.
        self._parameters = jax.tree.map(jnp.asarray, dict(parameters))
        self._run = jax.jit(run)

    def __call__(
        self,
        image: jax.typing.ArrayLike,
        source_pose: tuple[Any, Any] | None = None,
        target_pose: tuple[Any, Any] | None = None,
        also: tuple[Any, tuple[Any, Any]] | None = None,
    ) -> Any:
        """Renders the persons of some images in other poses, or finds their poses.

        Args:
          image: images [B, S, S, 3], floats, RGB in [-1, 1]; see `image_size`.
          source_pose: poses of the persons in the images: joints [B, 15, 3] in pixels, in the order
            of `skeleton.JOINTS`, and which of them are visible, [B, 15].
          target_pose: poses in which to render the persons, in the same format.
          also: further images of the persons and their poses, in the formats of `image` and
            `source_pose`, for models that look at two pictures (`looks_at_two`); None where there
            is one picture of every person.

        Returns:
          Images, float32 [B, S, S, 3] in [-1, 1]; from a model of the task "pose", which takes no
          poses, {"joints_mm": [B, 15, 3], "joints_px": [B, 15, 2]}.

        Raises:
          UserError: an array is missing or not of that shape or range.
        """
        wanted = _spec(self.card, self._side_of(image))
        prediction = self.predict(
            call_arguments.batch(self.inputs, wanted, image, source_pose, target_pose, also)
        )
        # Whoever asks for a picture has no use for the source's pose, which is given.
        return prediction["image"] if self.task == "image_and_pose" else prediction

    def fitting_size(self, wanted: float) -> int:
        """The smallest side of images that the model takes and that is at least the wanted one.

        Of a model of one size it is that size.
        """
        if not self.size_step:
            return self.image_size
        return max(self.image_size, math.ceil(wanted / self.size_step) * self.size_step)

    @property
    def looks_at_two(self) -> bool:
        """Whether the model looks at a further picture of the person, where there is one."""
        return call_arguments.look_at_two(self.inputs)

    @property
    def parameters(self) -> Mapping[str, jax.Array]:
        """The exported arrays by name, such as `generator/encoder/Conv_0/kernel`."""
        return self._parameters

    def predict(self, batch: Batch) -> Prediction:
        """The prediction for a batch as `data.pipeline` yields it, which the system's task scores.

        Args:
          batch: arrays by name; fields other than `inputs` are ignored.
        """
        return self._run(self._parameters, {name: jnp.asarray(batch[name]) for name in self.inputs})

    def _side_of(self, image):
        """The side that images must have: of a model of any size, that which they do have."""
        sides = getattr(image, "shape", ())[2:3]
        if not self.size_step or not sides:
            return self.image_size
        if sides[0] != self.fitting_size(sides[0]):
            raise UserError(
                f"images must have a side of {self.image_size} pixels or of a larger multiple of "
                f"{self.size_step}, got {sides[0]}."
            )
        return sides[0]


def load(path: str | os.PathLike[str], program: bool | None = None) -> Model:
    """Reads an exported model.

    Args:
      path: path of its folder.
      program: True: run its StableHLO program; False: rebuild the system from the networks' code;
        None: run the program, or the code where this JAX or this machine cannot run the program,
        with a warning that says so.

    Raises:
      UserError: there is no such folder, a file of it is missing, additional, damaged or too large,
        its parts do not fit together, it was written by a later version, or the program cannot be
        run where only that will do.
    """
    folder = pathlib.Path(path)
    # Before anything is parsed: a file that was changed is not even opened by a library.
    model_folder.check(folder)
    card, config = _card(folder), _config(folder)
    run = None
    if program is not False:
        try:
            run, layout = _program(folder, card)
        except _UnusableError as error:
            if program:
                raise UserError(
                    f"{folder}: {PROGRAM} cannot be run here: {error}. Load it with "
                    "program=False, or export it again with this version of JAX."
                ) from error
            warnings.warn(
                f"{folder}: {PROGRAM} cannot be run here ({error}); the code of volsynth is used.",
                stacklevel=2,
            )
    is_program = run is not None
    if run is None:
        run, layout = _rebuilt(folder, config, card)
    return Model(
        folder, config, card, model_folder.read_parameters(folder, layout), run, is_program
    )


def _card(folder):
    """The contents of the card; the values that are used here are checked."""
    card = model_folder.read_json(folder, CARD)

    # The manifest says that it is as it was written, not that volsynth wrote it.
    def check(key, is_right):
        if not is_right(card.get(key)):
            raise UserError(f"{folder}: {CARD} is damaged: {key!r} is wrong. {REPAIR_HINT}")

    check("format", lambda number: number == model_folder.FORMAT)
    check("task", lambda task: task in fields.TASK_OUTPUTS)
    check("image_size", lambda side: type(side) is int and side > 0)
    check("size_step", lambda step: step is None or (type(step) is int and step >= 0))
    check(
        "inputs",
        lambda inputs: isinstance(inputs, dict) and inputs and set(inputs) <= {*fields.BATCH},
    )
    return card


def _config(folder):
    values = model_folder.read_json(folder, CONFIG)
    try:
        config = config_from_dict(values)
        config.system, config.data.image_size  # noqa: B018
    except Exception as error:  # Whatever a dict of any contents does to it.
        raise UserError(f"{folder}: {CONFIG} is damaged. {REPAIR_HINT}") from error
    return config


class _UnusableError(Exception):
    """The program cannot be run by this JAX, or on this machine."""


class _Signature(NamedTuple):
    """The arguments and results of a program: shapes of parameters, (shape, dtype) of inputs."""

    parameters: Mapping[str, tuple[int, ...]]
    inputs: Mapping[str, tuple[tuple[int, ...], np.dtype]]
    outputs: Any


def _program(folder, card):
    """The program, (parameters, inputs) -> prediction, and {parameter name: shape}."""
    exported, text, signature = _deserialised(folder)
    _check_calls(folder, text)
    _check_signature(folder, card, signature)
    backend = jax.default_backend()
    # JAX calls the backend "gpu" for which programs are exported as "cuda".
    here = {"gpu": "cuda"}.get(backend, backend)
    if here not in exported.platforms:
        raise _UnusableError(f"it is for {', '.join(exported.platforms)}, this is {here}")
    return exported.call, signature.parameters


def _deserialised(folder):
    """The program, its StableHLO as text, and its signature; nothing of it is run."""
    try:
        exported = jax.export.deserialize(bytearray((folder / PROGRAM).read_bytes()))
        text = exported.mlir_module()
        (parameters, inputs), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
        signature = _Signature(
            {name: tuple(value.shape) for name, value in parameters.items()},
            {name: (_sizes(value.shape[1:]), value.dtype) for name, value in inputs.items()},
            jax.tree.unflatten(exported.out_tree, exported.out_avals),
        )
    except Exception as error:  # Bytes of any kind make the reader stumble in any way.
        reason = (str(error).splitlines() or [""])[0][:200]
        raise _UnusableError(f"{type(error).__name__}: {reason}") from error
    return exported, text, signature


def _sizes(shape):
    """The lengths of axes, "S" for those that may be of any size."""
    return tuple("S" if jax.export.is_symbolic_dim(size) else size for size in shape)


def _check_calls(folder, text):
    """Raises a UserError if the program calls functions other than `FOREIGN_CALLS`."""
    called = [a or b for a, b in re.findall(r'custom_call\s+@(?:"([^"]*)"|([\w.$-]+))', text)]
    # A call in a form that the pattern does not know must not slip through: all are counted.
    if len(called) != text.count("custom_call") or not FOREIGN_CALLS.issuperset(called):
        others = sorted({*called} - FOREIGN_CALLS) or "of a form that is not known"
        raise UserError(
            f"{folder}: {PROGRAM} calls foreign functions ({others}), and is not run. "
            "Load it with program=False."
        )


def _size_step(card):
    # Models of before there were any of any size do not say that they have one.
    return card.get("size_step") or 0


def _spec(card, side=None):
    """Shapes and dtypes of a model's inputs, of one example, for images of this side."""
    # Models of before there were clips do not say how many frames they have.
    frames = card.get("frames", 1)
    return fake.spec(1, side or card["image_size"], tuple(card["inputs"]), frames)


def _check_signature(folder, card, signature):
    """Raises a UserError if inputs or outputs of the program are not those of the card."""
    wanted = {
        name: (_any_size(name, card) or value.shape[1:], value.dtype)
        for name, value in _spec(card).items()
    }
    if signature.inputs != wanted:
        raise UserError(
            f"{folder}: {PROGRAM} takes {sorted(signature.inputs)}, {CARD} says "
            f"{sorted(wanted)}, of {card['image_size']} pixels. {REPAIR_HINT}"
        )
    # The task "image" has an array for a prediction, the others have a dict of arrays.
    outputs = set(signature.outputs) if isinstance(signature.outputs, dict) else {"image"}
    if outputs != {*fields.TASK_OUTPUTS[card["task"]]}:
        raise UserError(
            f"{folder}: {PROGRAM} does not make what {CARD} says, of the task "
            f"{card['task']!r}. {REPAIR_HINT}"
        )


def _any_size(name, card):
    """The axes of a field with "S" for the images' side, None if they have one size."""
    axes = fields.BATCH[name].axes
    return axes if _size_step(card) and "S" in axes else None


def _rebuilt(folder, config, card):
    """The same results as `_program`, by the networks' code."""
    # Imported here: whoever runs the program needs no network.
    from volsynth import systems
    from volsynth.export import forward

    if config.system not in systems.SYSTEMS:
        hint = did_you_mean(str(config.system), systems.SYSTEMS)
        raise UserError(f"{folder}: {CONFIG}: unknown system {config.system!r}; {hint}")
    if config.data.image_size != card["image_size"]:
        raise UserError(f"{folder}: {CONFIG} and {CARD} have other image sizes. {REPAIR_HINT}")
    try:
        system = systems.make(config)
        run, layout = forward.forward(system, card["image_size"])
    except UserError as error:
        # Most often the config is of an earlier version, whose keys had other names.
        said = str(error).rstrip(".")
        raise UserError(
            f"{folder}: {CONFIG}: {said}. Export it again with the present version of volsynth: "
            "volsynth export."
        ) from error
    except Exception as error:  # Values of any kind in places of any kind.
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{folder}: {CONFIG} makes no system ({said}). {REPAIR_HINT}") from error
    if system.task != card["task"]:
        raise UserError(f"{folder}: {CONFIG} and {CARD} are of other tasks. {REPAIR_HINT}")
    return run, layout
