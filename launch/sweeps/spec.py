"""A table of runs: one base, what varies, and seeds."""

import dataclasses
import itertools
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import yaml

from volsynth import config as configs
from volsynth.errors import UserError, did_you_mean

_KEYS = ("config", "overrides", "grid", "variants", "seeds", "title", "scores", "published")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a table.

    Attributes:
      name: readable, and a folder's.
      config: FILE:VARIANT.
      overrides: each "--config.SECTION.KEY=VALUE".
      steps: the last step, by the config.
      group: what it shares with the runs that differ in their seed alone.
      seed: None where the table has no seeds.
    """

    name: str
    config: str
    overrides: tuple[str, ...]
    steps: int
    group: str = ""
    seed: int | None = None


@dataclasses.dataclass(frozen=True)
class Presentation:
    """What a table says of its results.

    Attributes:
      title: of them.
      scores: that are shown, in their order; all where there are none.
      published: what was published of a group, {group: {score: value}}; "of" says where.
    """

    title: str
    scores: tuple[str, ...]
    published: Mapping[str, Any]


def read_presentation(path: pathlib.Path) -> Presentation:
    """What a table says of its results.

    Raises:
      UserError: the file is no table.
    """
    found = _load(path)
    scores = found.get("scores") or []
    if not isinstance(scores, list) or not all(isinstance(name, str) for name in scores):
        raise UserError(f"{path}: scores is a list of names, got {scores!r}.")
    published = _mapping(path, "published", found.get("published"))
    return Presentation(str(found.get("title", path.stem)), tuple(scores), published)


def read_runs(path: pathlib.Path) -> list[Run]:
    """All runs of a table, in its order: variants, then the grid, then seeds.

    A table is YAML with `config`, and optionally `overrides` (for all runs), `grid` (a list of
    values for each key; all combinations), `variants` (a name, and overrides, of each; `config`
    among them takes the place of the table's), `seeds`, and what `read_presentation` returns.

    Raises:
      UserError: the file is no such table, a config has no such key, or two runs have one name.
    """
    table = _load(path)
    shared = _mapping(path, "overrides", table.get("overrides"))
    variants = _mapping(path, "variants", table.get("variants")) or {"": {}}
    grid = _mapping(path, "grid", table.get("grid"))
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{path}: grid: {key} needs a list of values, got {values!r}.")
    seeds = table.get("seeds", [None])
    if not isinstance(seeds, list) or not seeds or any(isinstance(s, bool) for s in seeds) or not (
        seeds == [None] or all(isinstance(s, int) for s in seeds)
    ):  # fmt: skip
        raise UserError(f"{path}: seeds is a list of whole numbers, got {seeds!r}.")
    short = _short_names(grid)
    runs = []
    for (variant, changes), *cell in itertools.product(
        variants.items(), *([(key, value) for value in grid[key]] for key in grid)
    ):
        own = _mapping(path, f"variants: {variant}", changes)
        base = own.pop("config", table["config"])
        if not isinstance(base, str):
            raise UserError(f"{path}: variants: {variant}: config is FILE:VARIANT, got {base!r}.")
        words = [variant] if variant else []
        words += [f"{short[key]}-{_text(value)}" for key, value in cell]
        for seed in seeds:
            seeded = {} if seed is None else {"seed": seed}
            values = {**shared, **own, **dict(cell), **seeded}
            group, name = _name(words), _name(words + ([] if seed is None else [f"seed-{seed}"]))
            overrides = tuple(f"--config.{key}={_text(value)}" for key, value in values.items())
            config = configs.load(base, overrides)
            steps = last_step(configs.to_dict(config))
            runs.append(Run(name, base, overrides, steps, group, seed))
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"{path}: two runs are named {name!r}; give their variants other names."
            )
    return runs


def last_step(config: Mapping[str, Any]) -> int:
    """The number of the last step of a config, of all of its phases."""
    steps = config["train"]["steps"]
    return sum(steps.values()) if isinstance(steps, Mapping) else steps


def _name(words):
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", "_".join(words)).strip("_.") or "run"


def _load(path):
    try:
        table = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read the table {path}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    if not isinstance(table, dict) or not isinstance(table.get("config"), str):
        raise UserError(f"{path} is no table of runs: it needs `config: FILE:VARIANT`.")
    for key in table:
        if key not in _KEYS:
            raise UserError(f"{path}: unknown key {key!r}; {did_you_mean(str(key), _KEYS)}")
    return table


def _mapping(path, name, value):
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"{path}: {name} is a mapping, got {value!r}.")
    return {str(key): entry for key, entry in value.items()}


def _short_names(keys):
    """The last parts of dotted keys, as many as tell them apart."""
    names = {}
    for key in keys:
        parts = key.split(".")
        for count in range(1, len(parts) + 1):
            tail = parts[-count:]
            if sum(other.split(".")[-count:] == tail for other in keys) == 1:
                break
        names[key] = ".".join(tail)
    return names


def _text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)
