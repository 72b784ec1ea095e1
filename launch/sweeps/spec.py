"""The specification of a sweep: training runs of one base config, what varies, and seeds."""

import dataclasses
import itertools
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from volsynth.config import config_to_dict, last_step, load_config
from volsynth.errors import UserError, did_you_mean, os_errors_explained

_KEYS = ("config", "overrides", "grid", "variants", "seeds", "title", "scores", "published")
"""The keys that a specification may have."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
      name: a readable name, which is also that of its workdir.
      config: the config, as FILE:VARIANT.
      overrides: the overrides, each "--config.SECTION.KEY=VALUE".
      steps: the number of its last step, by the config; 0 if the config lacks it, which the
        training then refuses.
      group: the part of the name that it shares with the runs that differ in their seed alone.
      seed: its seed; None where the specification has no seeds.
    """

    name: str
    config: str
    overrides: tuple[str, ...]
    steps: int
    group: str = ""
    seed: int | None = None


@dataclasses.dataclass(frozen=True)
class Presentation:
    """The presentation of a sweep's results.

    Attributes:
      title: the title of the results.
      scores: the scores that are shown, in their order; all of them where it is empty.
      published: results that were published for groups, {group: {score: value}}; "of" says where.
    """

    title: str
    scores: tuple[str, ...]
    published: Mapping[str, Any]


def read_presentation(path: pathlib.Path) -> Presentation:
    """Reads how the results of a sweep are presented.

    Args:
      path: the YAML file of the specification.

    Raises:
      UserError: the file is no specification of a sweep.
    """
    found = _load(path)
    scores = found.get("scores") or []
    if not isinstance(scores, list) or not all(isinstance(name, str) for name in scores):
        raise UserError(f"{path}: scores is a list of names, got {scores!r}.")
    published = _mapping(path, "published", found.get("published"))
    return Presentation(str(found.get("title", path.stem)), tuple(scores), published)


def read_runs(path: pathlib.Path) -> list[Run]:
    """Reads all runs of a sweep, in its order: variants, then the grid, then seeds.

    A specification is YAML with `config`, and optionally `overrides` (for all runs), `grid` (a list
    of values for each key; all combinations are run), `variants` (a name, and overrides, of each;
    `config` among them takes the place of the base config), `seeds`, and the keys of a
    `Presentation`.

    Args:
      path: the YAML file of the specification.

    Raises:
      UserError: the file is no specification, a config has no such key, or two runs have one name.
    """
    table = _load(path)
    shared = _mapping(path, "overrides", table.get("overrides"))
    variants = _mapping(path, "variants", table.get("variants")) or {"": {}}
    grid = _mapping(path, "grid", table.get("grid"))
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{path}: grid: {key} needs a list of values, got {values!r}.")
    seeds = _seeds(path, table)
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
            # Later ones win: what a variant or the grid says is more special than what all runs
            # share.
            values = {**shared, **own, **dict(cell), **seeded}
            group, name = _name(words), _name(words + ([] if seed is None else [f"seed-{seed}"]))
            overrides = tuple(f"--config.{key}={_text(value)}" for key, value in values.items())
            # Loaded here, so that a wrong key is an error before the first run has begun.
            steps = last_step(config_to_dict(load_config(base, overrides))) or 0
            runs.append(Run(name, base, overrides, steps, group, seed))
    # Two runs of one name would share a workdir.
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"{path}: two runs are named {name!r}; give their variants other names."
            )
    return runs


def _seeds(path: pathlib.Path, table: Mapping[str, Any]) -> list[int | None]:
    """The seeds of a specification; one None where it has none."""
    seeds = table.get("seeds", [None])
    # YAML reads "yes" and "on" as booleans, which Python counts as integers.
    if not isinstance(seeds, list) or not seeds or any(isinstance(s, bool) for s in seeds) or not (
        seeds == [None] or all(isinstance(s, int) for s in seeds)
    ):  # fmt: skip
        raise UserError(f"{path}: seeds is a list of whole numbers, got {seeds!r}.")
    return seeds


def _name(words: Sequence[str]) -> str:
    """A name that is also good for a folder."""
    # Values may hold slashes, brackets and spaces, which a folder should not.
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", "_".join(words)).strip("_.") or "run"


def _load(path: pathlib.Path) -> dict[str, Any]:
    with os_errors_explained("read the table", path):
        try:
            table = yaml.safe_load(path.read_text())
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is not YAML: {error}") from error
    if not isinstance(table, dict) or not isinstance(table.get("config"), str):
        raise UserError(f"{path} is no table of runs: it needs `config: FILE:VARIANT`.")
    # A key with a typing error would be ignored, and the sweep be another one.
    for key in table:
        if key not in _KEYS:
            raise UserError(f"{path}: unknown key {key!r}; {did_you_mean(str(key), _KEYS)}")
    return table


def _mapping(path: pathlib.Path, name: str, value: Any) -> dict[str, Any]:
    """A mapping of a specification; empty where it has none."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"{path}: {name} is a mapping, got {value!r}.")
    return {str(key): entry for key, entry in value.items()}


def _short_names(keys: Iterable[str]) -> dict[str, str]:
    """The last parts of dotted keys, as many of them as tell the keys apart."""
    names = {}
    for key in keys:
        parts = key.split(".")
        for count in range(1, len(parts) + 1):
            # `depth` says enough, unless another key of the grid ends alike.
            tail = parts[-count:]
            if sum(other.split(".")[-count:] == tail for other in keys) == 1:
                break
        names[key] = ".".join(tail)
    return names


def _text(value: Any) -> str:
    """A value as it stands in an override of the command line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)
