"""A run as one folder that can be given away: see docs/export.md, and `exported` for reading it."""

import contextlib
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.export
import numpy as np

import volsynth
from volsynth import files, skeleton, systems
from volsynth.config import config_from_dict, config_to_dict
from volsynth.data import fake, pipeline
from volsynth.errors import UserError
from volsynth.export import exported_model, model_folder
from volsynth.pretrained import weights
from volsynth.results import result_files, tables
from volsynth.runs import training
from volsynth.system import System
from volsynth.train import manifest, run_log, run_record

OUTPUTS = {
    "image": "float32 [B, S, S, 3], RGB in [-1, 1]",
    "pose_joints": "float32 [B, 15, 3], pixels, the joints of the source",
    "joints_mm": "float32 [B, 15, 3], mm, relative to the pelvis",
    "joints_px": "float32 [B, 15, 2], pixels of the image",
}
"""What the programs of all tasks return."""

KEYPOINTS = {
    "joints": list(skeleton.JOINTS),
    "sides": "right and left are the person's own",
    "pelvis": "the mean of the hips",
    "axes": "x right, y down, z away from the camera",
    "joints_px": "pixels of the image of S by S, in which the pixel of row i and column j has its "
    "centre at (j + 0.5, i + 0.5); depth has the scale of width and height, and the mean depth of "
    "the visible joints is S / 2",
    "joints_mm": "mm along the axes of the camera, relative to the pelvis",
    "visible": "whether a joint is known; one that is not counts for nothing",
}
"""The format of poses."""

LICENCE_OF_POSED_PEOPLE = "Apache-2.0"
LICENCE_UNKNOWN = "not stated; that of the training data may restrict the use of the parameters"


def export(
    workdir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    step: int | Literal["best"] | None = None,
    split: str = "test",
    licence: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Writes a run's averaged weights, program, config and card into a folder of their own.

    The folder is there with all that belongs into it, or as it was before.

    Args:
      workdir: of the run; its data is not needed.
      out: the folder. One that holds an exported model is replaced.
      step: of the checkpoint, or "best"; the newest without.
      split: whose scores of `volsynth evaluate` go into the card, if they are of that step.
      licence: of the parameters; without one that of `posed_people` where nothing else taught them.
      force: whether a folder that holds other things is replaced, too.

    Returns:
      {"model": the folder, "files": {name: bytes}, "inputs": [fields of a batch that it takes],
      "step", "system", "task", "image_size", "parameters": how many, "scores": those in the card,
      or None}.

    Raises:
      UserError: the workdir holds no run or no such checkpoint, its weights are not finite, the
        folder holds other things, or cannot be written, or the licence is no line of text.
    """
    if licence is not None and (not licence.strip() or len(licence.splitlines()) > 1):
        raise UserError(f"--licence must be one line of text, got {licence!r}.")
    workdir, out = pathlib.Path(workdir), pathlib.Path(out)
    run = run_record.read_run(workdir)
    out = _checked_out(out, workdir, force)
    config = config_from_dict(portable(run["config"]))
    system = systems.make(config)
    step, averages = training.restore_averages(system, config, workdir, step)
    parameters = {k: np.asarray(v, np.float32) for k, v in exported_model.by_name(averages).items()}
    _check_finite(workdir, step, parameters)
    side = config.data.image_size
    inputs = used_inputs(system, side)
    card = _card(workdir, run, config, system, step, split, licence, inputs, parameters)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        (temporary / model_folder.PROGRAM).write_bytes(program(system, side, inputs))
        weights.save(temporary / model_folder.PARAMETERS, parameters, system.name)
        files.write_text(temporary / model_folder.CONFIG, _text(config_to_dict(config)))
        files.write_text(temporary / model_folder.CARD, _text(card))
        files.write_text(temporary / model_folder.README, readme(card))
        manifest.write(temporary, {model_folder.FORMAT_KEY: model_folder.FORMAT, "step": step})
        # What nobody could read must not take the place of anything.
        exported_model.load(temporary, program=jax.default_backend() in ("cpu", "gpu", "tpu"))
        sizes = {path.name: path.stat().st_size for path in sorted(temporary.iterdir())}
        _put(temporary, out)
    except OSError as error:
        raise UserError(f"cannot write the model to {out}: {error.strerror}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return {
        "model": str(out),
        "files": sizes,
        "inputs": inputs,
        "step": step,
        "system": system.name,
        "task": system.task,
        "image_size": side,
        "parameters": sum(value.size for value in parameters.values()),
        "scores": (card["evaluation"] or {}).get("metrics"),
    }


def summary(report: Mapping[str, Any]) -> str:
    """What `volsynth export` prints of a report."""
    lines = [f"{name:>24} {size:>14,} bytes" for name, size in report["files"].items()]
    return "\n".join(
        [
            f"{report['model']}: {report['system']}, step {report['step']}, "
            f"{report['parameters']:,} parameters, {report['image_size']} pixels",
            *lines,
            f"takes {', '.join(report['inputs'])}",
            f"scores in the card: {', '.join(report['scores']) if report['scores'] else 'none'}",
        ]
    )


def _check_finite(workdir, step, parameters):
    broken = [name for name, value in parameters.items() if not np.all(np.isfinite(value))]
    if broken:
        raise UserError(
            f"{workdir}: step {step} holds weights that are not finite, such as {broken[0]}: the "
            "run diverged. Give an earlier --step."
        )


def portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's config without the paths of the machine that it ran on."""
    config = {**config, "data": {**config["data"], "dir": "data"}}
    if "features" in config.get("loss", {}):
        # Of the losses alone; the file's digest is in the card's notes.
        config["loss"] = {**config["loss"], "features": ""}
    return config


def used_inputs(system: System, image_size: int) -> list[str]:
    """The fields of a batch on whose values depends what the system's task scores."""
    run, layout = exported_model.forward(system, image_size)
    parameters = {k: jax.ShapeDtypeStruct(v, np.float32) for k, v in layout.items()}
    batch = fake.spec(1, image_size)
    traced = jax.make_jaxpr(run)(parameters, batch).jaxpr
    needed = {id(variable) for variable in traced.outvars}
    for equation in reversed(traced.eqns):
        if any(id(variable) in needed for variable in equation.outvars):
            needed.update(id(variable) for variable in equation.invars)
    # Arguments are in the order of the pytree: of dicts that of the sorted names.
    return [
        name
        for name, variable in zip(sorted(batch), traced.invars[len(parameters) :])
        if id(variable) in needed
    ]


def program(system: System, image_size: int, inputs: list[str]) -> bytes:
    """The forward pass for every platform and any batch size, as `jax.export` serialises it.

    Args:
      system: whose averaged networks run.
      image_size: S.
      inputs: the fields of a batch that it takes.
    """
    run, layout = exported_model.forward(system, image_size)
    parameters = {k: jax.ShapeDtypeStruct(v, np.float32) for k, v in layout.items()}
    (count,) = jax.export.symbolic_shape("b")
    batch = {
        name: jax.ShapeDtypeStruct((count, *value.shape[1:]), value.dtype)
        for name, value in fake.spec(1, image_size).items()
        if name in inputs
    }
    with _no_paths():
        made = jax.export.export(jax.jit(run), platforms=exported_model.PLATFORMS)(
            parameters, batch
        )
        return bytes(made.serialize())


@contextlib.contextmanager
def _no_paths():
    """Programs name the files of their source code: leaves out where on this machine they are."""
    key = "jax_hlo_source_file_canonicalization_regex"
    before = getattr(jax.config, key)
    jax.config.update(key, ".*/")
    try:
        yield
    finally:
        jax.config.update(key, before)


def _card(workdir, run, config, system, step, split, licence, inputs, parameters):
    side = config.data.image_size
    also = dict(config.data.get("also", {}))
    own = config.data.name == "posed_people" and not also
    networks = {}
    for name, value in parameters.items():
        network = name.partition("/")[0]
        networks[network] = networks.get(network, 0) + value.size
    sizes = {name: ["B", *value.shape[1:]] for name, value in fake.spec(1, side).items()}
    return {
        "format": model_folder.FORMAT,
        "system": system.name,
        "paper": system.paper,
        "task": system.task,
        "image_size": side,
        "step": step,
        "inputs": {
            name: {"shape": sizes[name], "is": pipeline.BATCH[name.partition("_")[2]]}
            for name in inputs
        },
        "outputs": {name: OUTPUTS[name] for name in exported_model.OUTPUTS[system.task]},
        "keypoints": KEYPOINTS,
        "parameters": {"total": sum(networks.values()), "networks": networks, "averaged": True},
        "precision": config.precision,
        "platforms": list(exported_model.PLATFORMS),
        "trained_on": {
            "data": f"{config.data.name}/{config.data.config}",
            "also": also,
            "identity": run["data"],
            "batch_size": config.train.batch_size,
            "steps": step,
            "seed": config.seed,
        },
        "notes": run.get("notes", {}),
        "evaluation": _evaluation(workdir, split, step),
        "licence": licence or (LICENCE_OF_POSED_PEOPLE if own else LICENCE_UNKNOWN),
        "trained_with": _trained_with(workdir),
        "exported_with": {
            "volsynth": volsynth.__version__,
            "commit": run_log.commit(),
            "jax": jax.__version__,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
    }


def _evaluation(workdir, split, step):
    """The workdir's scores on a split, if they are of this step."""
    found = result_files.read_split(workdir, split)
    if found is None or found["step"] != step:
        why = (
            f"{workdir} has no scores on {split}"
            if found is None
            else f"the scores on {split} are of step {found['step']}, not {step}"
        )
        print(
            f"volsynth: {why}: the card says none. For scores in it, run first: volsynth evaluate "
            f"--workdir {workdir} --split {split}",
            file=sys.stderr,
        )
        return None
    wanted = ("label", "metrics", "baselines", "details", "protocol", "step")
    return {key: found[key] for key in wanted if key in found}


def _trained_with(workdir):
    """Version and commit of the code of the run's last start."""
    try:
        starts = run_log.read_starts(workdir)
    except OSError as error:
        raise UserError(f"{workdir}: {run_log.STARTS} cannot be read: {error.strerror}.") from error
    last = starts[-1] if starts else {}
    return {
        "volsynth": last.get("version"),
        "commit": last.get("commit"),
        "jax": last.get("jax"),
        "device": last.get("device"),
    }


def readme(card: Mapping[str, Any]) -> str:
    """The card as Markdown, for people."""
    trained, found = card["trained_on"], card["evaluation"]
    also = "".join(
        f", {name} ({share:g} of the samples)" for name, share in trained["also"].items()
    )
    inputs = "\n".join(f"| `{name}` | {field['is']} |" for name, field in card["inputs"].items())
    outputs = "\n".join(f"| `{name}` | {what} |" for name, what in card["outputs"].items())
    joints = ", ".join(f"{i} {name}" for i, name in enumerate(card["keypoints"]["joints"]))
    notes = "".join(f"- {key}: {note}\n" for key, note in card["notes"].items())
    code = card["trained_with"]
    return f"""# {card["system"]}, step {card["step"]}

{card["paper"]}.

A model of volsynth with {card["parameters"]["total"]:,} averaged parameters, for images of
{card["image_size"]} by {card["image_size"]} pixels.

    import volsynth
    model = volsynth.load("PATH OF THIS FOLDER")

## Training

- data: {trained["data"]}{also}, identity `{trained["identity"]}`
- steps: {trained["steps"]}, batch size {trained["batch_size"]}, seed {trained["seed"]}
- code: volsynth {code["volsynth"]}, commit {code["commit"]}, JAX {code["jax"]}
{notes}
## Scores

{_scores(found)}
## Inputs and outputs

S is {card["image_size"]}, B any number.

| input | |
|---|---|
{inputs}

| output | |
|---|---|
{outputs}

## Keypoints

{joints}.

{"; ".join(f"{key}: {text}" for key, text in card["keypoints"].items() if key != "joints")}.

## Licence

{card["licence"]}
"""


def _scores(found):
    if found is None:
        return "None were computed of this step.\n"
    protocol = found["protocol"]
    return (
        f"{protocol['images']} images of the split {protocol['split']} of {protocol['data']}; the "
        f"whole protocol is in `{model_folder.CARD}`.\n\n{tables.results_table(found)}"
    )


def _text(values):
    return json.dumps(values, indent=2) + "\n"


def _checked_out(out, workdir, force):
    """The folder to write, where nothing is lost by it."""
    try:
        out = out.resolve()
        if out.exists() and not out.is_dir():
            raise UserError(f"--out must be a folder; {out} is a file.")
        for name, kept in (("the workdir", workdir), ("the working directory", pathlib.Path())):
            if kept.resolve().is_relative_to(out):
                raise UserError(f"--out must be a folder of its own; {out} holds {name}.")
        if out.exists() and any(out.iterdir()) and not force and not _is_export(out):
            raise UserError(
                f"{out} holds something that is no exported model. Choose another --out, or "
                "replace all that is in it by --force."
            )
    except OSError as error:
        raise UserError(f"cannot write the model to {out}: {error.strerror}.") from error
    return out


def _is_export(folder):
    """Whether there is nothing in it but an exported model, whole or not."""
    if not {path.name for path in folder.iterdir()} <= model_folder.MAX_BYTES.keys():
        return False
    try:
        return model_folder.FORMAT_KEY in manifest.read(folder)
    except (manifest.DamagedError, KeyError, TypeError, ValueError, RecursionError):
        return False


def _put(temporary, out):
    """Gives a folder the name of another one, which goes."""
    if not out.exists():
        os.rename(temporary, out)
        return
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    os.rename(out, old)
    try:
        os.rename(temporary, out)
    except OSError:
        os.rename(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)
