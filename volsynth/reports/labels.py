"""Labels of runs that are compared: what differs between their configs, or their folders."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from flax.traverse_util import flatten_dict

# The sections that every config has, whatever its system. All others describe the networks of one
# system, under names of its own.
_COMMON_SECTIONS = ("data", "evaluate", "loss", "mesh", "optim", "train")


def label_runs(runs: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Labels by which a reader tells runs apart.

    Args:
      runs: {"workdir", "config"} of each; the config is empty for results without a run.

    Returns:
      A label for each run; and for each {key: value} of its config where the configs differ.
    """
    configs = [flatten_dict(run["config"], sep=".") if run["config"] else {} for run in runs]
    keys = _differing_keys([config for config in configs if config])
    differs = [{key: config.get(key) for key in keys if config} for config in configs]
    folders = [pathlib.Path(run["workdir"]).name for run in runs]
    labels = [_of_values(values) or folder for values, folder in zip(differs, folders)]
    if len(set(labels)) == len(labels):
        return labels, differs
    names = folders
    if len(set(folders)) < len(folders):
        paths = [pathlib.Path(run["workdir"]).absolute() for run in runs]
        names = [f"{path.parent.name}/{path.name}" for path in paths]
    labels = [
        name if label == folder else f"{name} {label}"
        for name, folder, label in zip(names, folders, labels)
    ]
    return labels, differs


def _of_values(values):
    # The last part of a key is enough for a reader: "learning_rate", not "optim.PLAYER.…".
    return ", ".join(f"{key.split('.')[-1]} {value}" for key, value in values.items())


def _differing_keys(configs):
    keys = sorted({key for config in configs for key in config})
    # Compared as text, so that a list and a number are no error.
    differing = [key for key in keys if len({repr(config.get(key)) for config in configs}) > 1]
    # Where data lies tells runs apart only if nothing else does.
    differing = [key for key in differing if key != "data.dir"]
    if "system" in differing:
        # The networks of two systems differ in most of their keys, which says nothing more.
        differing = [key for key in differing if _is_common(key)]
    return differing


def _is_common(key):
    section, dot, _ = key.partition(".")
    return not dot or section in _COMMON_SECTIONS
