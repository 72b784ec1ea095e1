"""A workdir belongs to one run: its config and its data."""

import json
import pathlib
from typing import Any

from volsynth import files
from volsynth.errors import UserError

# What may differ between a run and its continuation: where things lie and how often one looks.
_FREE = (
    "data.dir",
    "data.threads",
    "data.verify",
    "train.log_every",
    "train.sample_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.best_by",
)
_FREE_SECTIONS = ("evaluate.", "mesh.")

# Sections that older runs lack; they trained as their zeros do.
_ONCE_ABSENT = ("data.augment.",)


def claim_workdir(workdir: pathlib.Path, config: dict[str, Any], data: str) -> None:
    """Writes `run.json` into a new workdir; in an old one checks that it is of the same run.

    The code may change from one start of a run to the next; `log.record_start` keeps which it was.

    Args:
      workdir: of the run.
      config: the whole config, as nested dicts of JSON values.
      data: identity of the data set.

    Raises:
      UserError: the workdir belongs to another config or other data, its `run.json` is damaged,
        or it cannot be written.
    """
    record = {"config": config, "data": data}
    path = workdir / "run.json"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if path.exists():
            _check_same(path, read_run(workdir), record)
        else:
            files.write_text(path, json.dumps(record, indent=2))
    except OSError as error:
        raise UserError(f"cannot use {workdir} as workdir: {error.strerror}.") from error


def read_run(workdir: pathlib.Path) -> dict[str, Any]:
    """What `claim_workdir` wrote: {"config": ..., "data": ...}.

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
        return config.get(key, 0 if key.startswith(_ONCE_ABSENT) else None)

    differing = [
        f"{key}: {before.get(key, 'absent')!r} there, {after.get(key, 'absent')!r} here"
        for key in sorted(before.keys() | after.keys())
        if value(before, key) != value(after, key)
        and key not in _FREE
        and not key.startswith(_FREE_SECTIONS)
    ]
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
