"""Export of a run as one folder that can be given away; `exported_model` reads it."""

import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.export
import numpy as np

from volsynth import files, systems
from volsynth.config import config_from_dict, config_to_dict
from volsynth.errors import UserError, os_errors_explained
from volsynth.export import card, exported_model, forward, model_folder
from volsynth.pretrained import weights
from volsynth.runs import restoring
from volsynth.train import manifest, run_record


def export(
    workdir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    step: int | Literal["best"] | None = None,
    split: str = "test",
    licence: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Writes a run's averaged weights, program, config and card into a folder of their own.

    The folder is complete afterwards, or as it was before.

    Args:
      workdir: the folder of the run; its data is not needed.
      out: the folder to write. One that holds an exported model is replaced.
      step: step of the checkpoint, or "best"; None for the newest.
      split: the split whose scores of `volsynth evaluate` go into the card, if they are of that
        step.
      licence: licence of the parameters; None for one that follows from the training data.
      force: whether a folder that holds other things is replaced, too.

    Returns:
      {"model": path of the folder, "files": {name: bytes}, "inputs": [fields of a batch that it
      takes], "step", "system", "task", "image_size", "parameters": their number, "scores": those in
      the card, or None}.

    Raises:
      UserError: the workdir holds no run or no such checkpoint, its weights are not finite, the
        folder holds other things, or cannot be written, or the licence is no line of text.
    """
    if licence is not None and (not licence.strip() or len(licence.splitlines()) > 1):
        raise UserError(f"--licence must be one line of text, got {licence!r}.")
    workdir, out = pathlib.Path(workdir), pathlib.Path(out)
    run = run_record.read_run(workdir)
    out = _checked_out(out, workdir, force)
    config = config_from_dict(portable(run["config"], run["file_keys"]))
    system = systems.make(config)
    step, averages = restoring.restore_averages(system, config, workdir, step, run)
    parameters = {k: np.asarray(v, np.float32) for k, v in forward.by_name(averages).items()}
    _check_finite(workdir, step, parameters)
    side = config.data.image_size
    inputs = forward.used_inputs(system, side)
    about = card.make_card(workdir, run, config, system, step, split, licence, inputs, parameters)
    contents = {
        model_folder.CONFIG: _text(config_to_dict(config)),
        model_folder.CARD: _text(about),
        model_folder.README: card.readme(about),
    }
    sizes = _write_folder(out, system, side, inputs, parameters, contents, step)
    return {
        "model": str(out),
        "files": sizes,
        "inputs": list(inputs),
        "step": step,
        "system": system.name,
        "task": system.task,
        "image_size": side,
        "parameters": sum(value.size for value in parameters.values()),
        "scores": (about["evaluation"] or {}).get("metrics"),
    }


def summary(report: Mapping[str, Any]) -> str:
    """The text that `volsynth export` prints of the result of `export`."""
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


def _write_folder(out, system, side, inputs, parameters, contents, step):
    """Writes the folder under another name, checks it, and gives it its own; sizes by file name."""
    # Beside the folder: a rename is atomic within one file system alone.
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with os_errors_explained("write the model to", out):
            temporary.mkdir(parents=True)
            (temporary / model_folder.PROGRAM).write_bytes(forward.serialise(system, side, inputs))
            weights.save(temporary / model_folder.PARAMETERS, parameters, system.name)
            for name, text in contents.items():
                files.write_text(temporary / name, text)
            manifest.write(temporary, {model_folder.FORMAT_KEY: model_folder.FORMAT, "step": step})
            # What nobody could read must not take the place of anything.
            exported_model.load(temporary, program=jax.default_backend() in ("cpu", "gpu", "tpu"))
            sizes = {path.name: path.stat().st_size for path in sorted(temporary.iterdir())}
            _put(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return sizes


def _check_finite(workdir, step, parameters):
    broken = [name for name, value in parameters.items() if not np.all(np.isfinite(value))]
    if broken:
        raise UserError(
            f"{workdir}: step {step} holds weights that are not finite, such as {broken[0]}: the "
            "run diverged. Give an earlier --step."
        )


def portable(config: Mapping[str, Any], file_keys: Sequence[str]) -> dict[str, Any]:
    """A run's config without the paths of the machine that it ran on.

    Args:
      config: nested dicts of JSON values.
      file_keys: keys of the config that name files, which only training needs; see
        `System.file_keys`.
    """
    # A path tells the name of a user, and is of no use on another machine.
    config = {**config, "data": {**config["data"], "dir": "data"}}
    for name in file_keys:
        section, _, key = name.rpartition(".")
        if key in config.get(section, {}):
            config[section] = {**config[section], key: ""}
    return config


def _text(values):
    return json.dumps(values, indent=2) + "\n"


def _checked_out(out, workdir, force):
    """The absolute path of the folder to write, if nothing is lost by writing it."""
    with os_errors_explained("write the model to", out):
        out = out.resolve()
    # Anew: from here on errors name the absolute path.
    with os_errors_explained("write the model to", out):
        if out.exists() and not out.is_dir():
            raise UserError(f"--out must be a folder; {out} is a file.")
        for name, kept in (("the workdir", workdir), ("the working directory", pathlib.Path())):
            # It would be replaced together with the folder, even by --force.
            if kept.resolve().is_relative_to(out):
                raise UserError(f"--out must be a folder of its own; {out} holds {name}.")
        if out.exists() and any(out.iterdir()) and not force and not _is_export(out):
            raise UserError(
                f"{out} holds something that is no exported model. Choose another --out, or "
                "replace all that is in it by --force."
            )
    return out


def _is_export(folder):
    """Whether a folder holds nothing but an exported model, intact or not."""
    if not {path.name for path in folder.iterdir()} <= model_folder.MAX_BYTES.keys():
        return False
    try:
        return model_folder.FORMAT_KEY in manifest.read(folder)
    except (manifest.DamagedError, KeyError, TypeError, ValueError, RecursionError):
        return False


def _put(temporary, out):
    """Gives a folder the name of another one, which is deleted."""
    if not out.exists():
        os.rename(temporary, out)
        return
    # A folder that is not empty cannot be replaced by one rename.
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    os.rename(out, old)
    try:
        os.rename(temporary, out)
    except OSError:
        # The model that was there before comes back.
        os.rename(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)
