"""A workdir belongs to one run: its config and its data."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from volsynth import files
from volsynth.errors import UserError

# What may differ between a run and its continuation: where things lie and how often one looks.
_FREE = (
    "data.dir",
    "data.threads",
    "data.verify",
    # What is in the file counts, not its name: it is among the notes.
    "loss.features",
    "train.log_every",
    "train.sample_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.best_by",
)
_FREE_SECTIONS = ("evaluate.", "mesh.")

# Keys that older runs lack, and what they trained as; zero in a section.
_ONCE_ABSENT = {
    "discriminator.norm": "instance",
    "discriminator.whole": False,
    "loss.game": "minimax",
    "loss.gradient_penalty": 10.0,
    "loss.perceptual": 0.0,
    "loss.pose": 0.0,
    "model.offcut": False,
    "model.pose": "3d",
    "model.transform": "3d",
}
_ONCE_ABSENT_SECTIONS = ("data.augment.",)


def claim_workdir(
    workdir: pathlib.Path,
    config: dict[str, Any],
    data: str,
    notes: Mapping[str, str] | None = None,
    formerly: str | None = None,
) -> None:
    """Writes `run.json` into a new workdir; in an old one checks that it is of the same run.

    The code may change from one start of a run to the next; `log.record_start` keeps which it was.

    Args:
      workdir: of the run.
      config: the whole config, as nested dicts of JSON values.
      data: identity of the data set.
      notes: of the system.
      formerly: what earlier versions recorded as the identity of the same data set.

    Raises:
      UserError: the workdir belongs to another config or other data, its `run.json` is damaged,
        or it cannot be written.
    """
    record = {"config": config, "data": data, "notes": dict(notes or {})}
    path = workdir / "run.json"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if path.exists():
            there = read_run(workdir)
            if there["data"] == formerly:
                there["data"] = data
            _check_same(path, there, record)
        else:
            files.write_text(path, json.dumps(record, indent=2))
    except OSError as error:
        raise UserError(f"cannot use {workdir} as workdir: {error.strerror}.") from error


def read_run(workdir: pathlib.Path) -> dict[str, Any]:
    """What `claim_workdir` wrote: {"config": ..., "data": ..., "notes": ...}; once without notes.

    Raises:
      UserError: the folder holds no run, or its `run.json` is damaged.
    """
    path = workdir / "run.json"
    try:
        record = json.loads(path.read_text())
        dict(record["config"]), record["data"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{workdir} holds no run (no run.json). Train one: volsynth train."
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}). Choose another workdir.") from error
    return record


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What two records of `run.json` differ in, beyond what is free; one text for each key."""
    before, after = flatten(old["config"]), flatten(new["config"])

    def value(config, key):
        former = 0 if key.startswith(_ONCE_ABSENT_SECTIONS) else _ONCE_ABSENT.get(key)
        return config.get(key, former)

    if not (value(before, "loss.perceptual") or value(after, "loss.perceptual")):
        for config in (before, after):
            config.pop("loss.perceptual_layers", None)
    differing = [
        f"{key}: {before.get(key, 'absent')!r} there, {after.get(key, 'absent')!r} here"
        for key in sorted(before.keys() | after.keys())
        if value(before, key) != value(after, key)
        and key not in _FREE
        and not key.startswith(_FREE_SECTIONS)
    ]
    for key, note in old.get("notes", {}).items():
        if note != new["notes"].get(key):
            differing.append(f"{key}: {note} there, {new['notes'].get(key)} here")
    if old["data"] != new["data"]:
        differing.append(f"data set: {old['data']} there, {new['data']} here")
    return differing


def _check_same(path, old, new):
    if differing := differences(old, new):
        raise UserError(
            f"{path.parent} holds a run of another config ({'; '.join(differing)}). "
            "Choose another --workdir, or give the same config."
        )


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """A nested config as one level, keys joined by dots."""
    if not isinstance(config, dict):
        return {prefix[:-1]: config}
    return {
        name: leaf
        for key, value in config.items()
        for name, leaf in flatten(value, f"{prefix}{key}.").items()
    }
