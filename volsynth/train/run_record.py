"""The record of a run in its workdir, `run.json`: its config and its data.

A workdir belongs to one run: what is continued in it must have the same record.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from flax.traverse_util import flatten_dict

from volsynth import files
from volsynth.errors import UserError, os_errors_explained

FREE_KEYS = (
    "data.dir",
    "data.threads",
    "data.verify",
    "train.log_every",
    "train.sample_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.best_by",
)
"""Keys of a config that may differ between a run and its continuation: they say where files are,
and how often metrics, samples and checkpoints are written, and change no parameter."""

FREE_SECTIONS = ("evaluate.", "mesh.")
"""Beginnings of further keys that may differ between a run and its continuation."""


def claim_workdir(
    workdir: pathlib.Path,
    config: dict[str, Any],
    data: str,
    notes: Mapping[str, str] | None = None,
    file_keys: Sequence[str] = (),
    later_keys: Mapping[str, Any] | None = None,
) -> None:
    """Writes `run.json` into a new workdir; in an old one checks that it is of the same run.

    The code may change from one start of a run to the next; `run_log.record_start` notes its
    version.

    Args:
      workdir: the folder of the run.
      config: the whole config, as nested dicts of JSON values.
      data: identity of the data set.
      notes: the notes of the system, see `System.notes`.
      file_keys: keys of the config that may differ, see `System.file_keys`: what the files hold is
        in the notes.
      later_keys: keys of the config that runs of earlier versions lack, see `System.later_keys`.

    Raises:
      UserError: the workdir belongs to another config or other data, its `run.json` is damaged,
        or it cannot be written.
    """
    record = {
        "config": config,
        "data": data,
        "notes": dict(notes or {}),
        "file_keys": list(file_keys),
    }
    path = workdir / "run.json"
    with os_errors_explained("use", f"{workdir} as workdir"):
        workdir.mkdir(parents=True, exist_ok=True)
        if path.exists():
            _check_same(path, read_run(workdir), {**record, "later_keys": later_keys or {}})
        else:
            files.write_text(path, json.dumps(record, indent=2))


def read_run(workdir: pathlib.Path) -> dict[str, Any]:
    """The record that `claim_workdir` wrote: {"config", "data", "notes", "file_keys"}.

    Raises:
      UserError: the folder holds no run, or its `run.json` is damaged.
    """
    path = workdir / "run.json"
    with os_errors_explained("read", path, path_first=True):
        try:
            record = json.loads(path.read_text())
            # A KeyError or TypeError here, rather than wherever the values are first used.
            dict(record["config"]), record["data"]
            # Runs of earlier versions have neither.
            record = {"notes": {}, "file_keys": [], **record}
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UserError(
                f"{workdir} holds no run (no run.json). Train one: volsynth train."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error}). Choose another workdir.") from error
    return record


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The differences of two records of `run.json`, but for what may differ; a text for each key.

    Args:
      old: the record of the run as it was begun.
      new: the record of its continuation, whose `file_keys` may differ; where it has "later_keys",
        those that the old one lacks have the values given there.
    """
    before, after = (flatten_dict(record["config"], sep=".") for record in (old, new))
    before = {**new.get("later_keys", {}), **before}
    free = {*FREE_KEYS, *new.get("file_keys", ())}
    differing = [
        f"{key}: {before.get(key, 'absent')!r} there, {after.get(key, 'absent')!r} here"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
        and key not in free
        and not key.startswith(FREE_SECTIONS)
    ]
    # Notes that are new are no difference: an earlier version may have made fewer.
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
