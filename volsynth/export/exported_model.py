"""An exported model: read from its folder, checked, and called.

The folder is made by `exporting` and described in docs/export.md. There are two ways to run it: its
StableHLO program, which needs none of the networks' code, and the code, rebuilt from config and
parameters. Of what is in the folder only the program is run, and foreign functions that it calls
must be among those that JAX itself calls for networks.
"""

import os
import pathlib
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from volsynth import fields
from volsynth.config import config_from_dict
from volsynth.data import fake
from volsynth.errors import UserError, did_you_mean
from volsynth.export import model_folder
from volsynth.export.model_folder import CARD, CONFIG, PROGRAM, REPAIR_HINT
from volsynth.system import Batch

FOREIGN_CALLS = frozenset(
    {
        # Singular values, on CPUs, CUDA devices and TPUs.
        *("lapack_sgesdd_ffi", "cusolver_gesvdj_ffi", "cusolver_gesvd_ffi"),
        *("Qr", "Eigh", "ProductOfElementaryHouseholderReflectors"),
        # That the arguments' batch sizes agree.
        "shape_assertion",
    }
)
"""Functions outside of StableHLO that a program may call; others could do anything."""

Prediction = Any
"""What the system's task scores, as `volsynth.tasks.base.Prediction`: of that package nothing is
imported, so that a program runs without the networks' code."""


class Model:
    """A model that can be called.

    Attributes:
      path: of its folder.
      config: the run's, without paths of the machine that trained it.
      card: what `card.json` holds: where the model comes from, what it takes and what it scored.
      task: what it makes; see `volsynth.system.Task`.
      image_size: S, side of its images, pixels.
      inputs: the fields of a batch that it takes; see `volsynth.fields.BATCH`.
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
    ):
        self.path, self.config, self.card, self.is_program = path, config, card, is_program
        self.task: str = card["task"]
        self.image_size: int = card["image_size"]
        self.inputs = tuple(card["inputs"])
        self._parameters = jax.tree.map(jnp.asarray, dict(parameters))
        self._run = jax.jit(run)

    def __call__(
        self,
        image: jax.typing.ArrayLike,
        source_pose: tuple[Any, Any] | None = None,
        target_pose: tuple[Any, Any] | None = None,
    ) -> Any:
        """Renders the persons of some images in other poses; or, of the task "pose", finds theirs.

        Args:
          image: [B, S, S, 3], floats, RGB in [-1, 1].
          source_pose: the poses in the images: joints [B, 15, 3] in pixels, in the order of
            `skeleton.JOINTS`, and which of them are visible, [B, 15].
          target_pose: the poses wanted, alike.

        Returns:
          Images, float32 [B, S, S, 3] in [-1, 1]; of the task "pose", which takes no poses,
          {"joints_mm": [B, 15, 3], "joints_px": [B, 15, 2]}.

        Raises:
          UserError: an array is missing or not of that shape or range.
        """
        given = self._fields(image, source_pose, target_pose)
        made = self.make(given)
        return made["image"] if self.task == "image_and_pose" else made

    @property
    def parameters(self) -> Mapping[str, jax.Array]:
        """By name, `network/path/name`."""
        return self._parameters

    def make(self, batch: Batch) -> Prediction:
        """What the system's task scores, of a batch as `data.pipeline` yields it.

        Fields other than `inputs` are passed over. It is the `make` of `evaluate.evaluate`.
        """
        return self._run(self._parameters, {name: jnp.asarray(batch[name]) for name in self.inputs})

    def _fields(self, image, source_pose, target_pose):
        of_pose = self.task == "pose"
        if of_pose and (source_pose is not None or target_pose is not None):
            raise UserError("this model finds poses: it takes an image and nothing else.")
        given = {"target_image" if of_pose else "source_image": image}
        for role, pose in (("source", source_pose), ("target", target_pose)):
            if pose is not None:
                try:
                    given[f"{role}_joints"], given[f"{role}_visible"] = pose
                except (TypeError, ValueError) as error:
                    raise UserError(f"{role}_pose must be a pair (joints, visible).") from error
        wanted = fake.spec(1, self.image_size, self.inputs)
        checked = {}
        for name in self.inputs:
            if name not in given:
                raise UserError(f"{name} is missing; this model takes {', '.join(self.inputs)}.")
            checked[name] = _checked(name, given[name], wanted[name])
        counts = {name: len(value) for name, value in checked.items()}
        if len(set(counts.values())) > 1:
            raise UserError(f"all arrays must have the same length, got {counts}.")
        return checked


def _checked(name, value, wanted):
    """A field of a batch as NumPy array of its dtype."""
    try:
        value = np.asarray(value)
    except ValueError as error:
        raise UserError(f"{name} is no array: {error}.") from error
    shape = wanted.shape[1:]
    if value.shape[1:] != shape or value.ndim != len(shape) + 1 or not len(value):
        sizes = ", ".join(map(str, shape))
        raise UserError(f"{name} must have the shape [B, {sizes}], got {list(value.shape)}.")
    if wanted.dtype == np.bool_:
        if not np.all((value == 0) | (value == 1)):
            raise UserError(f"{name} must be true or false, got other values.")
        return value.astype(bool)
    # What bfloat16 arrays are to NumPy has no kind "f".
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise UserError(f"{name} must be floats, got {value.dtype}.")
    value = value.astype(np.float32)
    if not np.all(np.isfinite(value)):
        raise UserError(f"{name} holds values that are not finite.")
    if name.endswith("_image") and np.max(np.abs(value)) > 1 + 1e-3:
        low, high = np.min(value), np.max(value)
        raise UserError(f"{name} must lie in [-1, 1], got values from {low:g} to {high:g}.")
    return value


def load(path: str | os.PathLike[str], program: bool | None = None) -> Model:
    """Reads an exported model.

    Args:
      path: of its folder.
      program: True: run its StableHLO program; False: rebuild the system from the networks' code;
        None: the program, or the code where this JAX or this machine cannot run the program, with a
        warning that says so.

    Raises:
      UserError: there is no such folder, a file of it is missing, additional, damaged or too large,
        its parts do not fit together, it was written by a later version, or the program cannot be
        run where only that will do.
    """
    folder = pathlib.Path(path)
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
    """What the card says, with what is used of it checked."""
    card = model_folder.read_json(folder, CARD)

    def check(key, is_right):
        if not is_right(card.get(key)):
            raise UserError(f"{folder}: {CARD} is damaged: {key!r} is wrong. {REPAIR_HINT}")

    check("format", lambda number: number == model_folder.FORMAT)
    check("task", lambda task: task in fields.TASK_OUTPUTS)
    check("image_size", lambda side: type(side) is int and side > 0)
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


def _program(folder, card):
    """(parameters, inputs) -> what is made, and the shapes of the parameters, {name: shape}."""
    try:
        exported = jax.export.deserialize(bytearray((folder / PROGRAM).read_bytes()))
        text = exported.mlir_module()
        (parameters, inputs), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
        layout = {name: tuple(value.shape) for name, value in parameters.items()}
        taken = {name: (tuple(v.shape[1:]), v.dtype) for name, v in inputs.items()}
        made = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    except Exception as error:  # Bytes of any kind make the reader stumble in any way.
        reason = (str(error).splitlines() or [""])[0][:200]
        raise _UnusableError(f"{type(error).__name__}: {reason}") from error
    called = [a or b for a, b in re.findall(r'custom_call\s+@(?:"([^"]*)"|([\w.$-]+))', text)]
    if len(called) != text.count("custom_call") or not FOREIGN_CALLS.issuperset(called):
        others = sorted({*called} - FOREIGN_CALLS) or "of a form that is not known"
        raise UserError(
            f"{folder}: {PROGRAM} calls foreign functions ({others}), and is not run. "
            "Load it with program=False."
        )
    wanted = {
        name: (value.shape[1:], value.dtype)
        for name, value in fake.spec(1, card["image_size"], card["inputs"]).items()
    }
    if taken != wanted:
        raise UserError(
            f"{folder}: {PROGRAM} takes {sorted(taken)}, {CARD} says "
            f"{sorted(wanted)}, of {card['image_size']} pixels. {REPAIR_HINT}"
        )
    if (set(made) if isinstance(made, dict) else {"image"}) != {*fields.TASK_OUTPUTS[card["task"]]}:
        raise UserError(
            f"{folder}: {PROGRAM} does not make what {CARD} says, of the task "
            f"{card['task']!r}. {REPAIR_HINT}"
        )
    here = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    if here not in exported.platforms:
        raise _UnusableError(f"it is for {', '.join(exported.platforms)}, this is {here}")
    return exported.call, layout


def _rebuilt(folder, config, card):
    """The same as `_program`, by the networks' code."""
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
