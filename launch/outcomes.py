"""The results of the runs of a table in one file, from which the tables of the docs are made."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from launch import table
from volsynth import compare, describe
from volsynth import config as configs
from volsynth.errors import UserError
from volsynth.metrics import intervals
from volsynth.protocol import Protocol


def gather(
    runs: Sequence[table.Run], root: pathlib.Path, about: table.About, split: str = "test"
) -> dict[str, Any]:
    """The results of all runs of a table that were scored, as JSON values.

    Groups are the runs that differ in their seed alone. The interval of a group is that of the mean
    over its seeds, over persons; its difference from the first group is over the same pictures.

    Returns:
      {"title", "shown", "published", "protocol", "baselines", "runs": [{"name", "group", "seed",
      "config", "overrides", "commit", "jax", "device", "steps", "scores"}], "groups": {group:
      {"params", "operations", "scores": {score: {"mean", "seeds", "interval", "difference",
      "difference_interval", "difference_seeds"}}}}, "by": {fact: {"edges", "groups": {group:
      {score: the difference's [value, low, high] in each third of the pictures}}}}}.

    Raises:
      UserError: no run was scored, two were scored by different protocols, or a file is damaged.
    """
    found, read, protocols = [], {}, {}
    for run in runs:
        workdir = root / run.name
        if not (workdir / "run.json").exists():
            continue
        one = compare.read(workdir, split)
        if not one["results"] or not one["images"]:
            continue
        read[run.name] = one
        protocols[run.name] = Protocol.of_json(one["results"]["protocol"])
        found.append(run)
    if not found:
        raise UserError(f"no run in {root} was scored yet; see python -m launch sweep --evaluate.")
    first = protocols[found[0].name]
    for run in found:
        if different := first.differences(protocols[run.name]):
            raise UserError(
                f"{run.name} was not scored as {found[0].name} was; different are "
                f"{', '.join(different)}. Score them again."
            )
    groups: dict[str, list[table.Run]] = {}
    for run in found:
        groups.setdefault(run.group, []).append(run)
    first_group = next(iter(groups))
    reference = [read[run.name] for run in groups[first_group]]
    # Protocols may say more of some runs, such as the pose head's errors.
    fullest = max(protocols.values(), key=lambda p: len(p.scores))
    shown = list(about.scores) or list(reference[0]["results"]["metrics"])
    return {
        "title": about.title,
        "shown": shown,
        "published": dict(about.published),
        "protocol": fullest.to_json(),
        "baselines": reference[0]["results"]["baselines"],
        "runs": [_run(run, read[run.name]) for run in found],
        "groups": {
            group: {
                **_size(members[0]),
                "scores": _scores(
                    [read[run.name] for run in members], None if group == first_group else reference
                ),
            }
            for group, members in groups.items()
        },
        "by": {
            fact: _thirds(
                fact, {g: [read[run.name] for run in runs] for g, runs in groups.items()}, shown
            )
            for fact in _facts(reference, fullest)
        },
    }


def _facts(members, protocol):
    """What is known of every picture and is no score."""
    columns = next(iter(members[0]["images"].values()))
    return [key for key in columns if key != "person" and key not in protocol.scores]


def _thirds(fact, groups, shown):
    """Differences from the first group where a fact is small, in the middle, and large."""
    first, *others = groups
    files = list(groups[first][0]["images"])
    values = _values(groups[first][:1], files, fact)[0]
    edges = np.quantile(values, [1 / 3, 2 / 3])
    third = np.digitize(values, edges)
    found = {}
    for group in others:
        if len(groups[group]) != len(groups[first]):
            continue
        found[group] = {}
        for score in shown:
            both = [_values(groups[g], files, score) for g in (group, first)]
            difference = np.mean(both[0] - both[1], axis=0)
            parts = [_in_part(groups[first][0], files, difference, third == k) for k in range(3)]
            if all(parts):
                found[group][score] = parts
    return {"edges": edges.tolist(), "groups": found}


def _in_part(member, files, difference, part):
    counted = part & ~np.isnan(difference)
    if not np.any(counted):
        return None
    persons = intervals.Persons([member["images"][name]["person"] for name in files])
    bounds = persons.interval(np.where(counted, difference, 0.0), counted)
    return [float(np.mean(difference[counted])), *(bounds or (None, None))]


def _run(run, one):
    start = one["starts"][-1] if one["starts"] else {}
    results = one["results"]
    return {
        "name": run.name,
        "group": run.group,
        "seed": one["config"]["seed"],
        "config": run.config,
        "overrides": list(run.overrides),
        **{key: start.get(key) for key in ("commit", "jax", "device")},
        "steps": results["step"],
        "scores": {**results["metrics"], **results.get("details", {}).get(results["label"], {})},
    }


def _size(run):
    figures = describe.describe(configs.load(run.config, run.overrides))
    return {
        "params": figures["params_total"],
        "operations": figures["macs_2d"] + figures["macs_3d"],
        "operations_as_printed": figures["operations_as_printed"],
    }


def _scores(members, reference):
    """Of a group: each score's mean over the seeds, and its difference from the reference."""
    entries = members[0]["results"]["protocol"]["scores"]
    names = [name for name in next(iter(members[0]["images"].values())) if name in entries]
    files = list(members[0]["images"])
    persons = intervals.Persons([members[0]["images"][name]["person"] for name in files])
    found = {}
    for score in names:
        values = _values(members, files, score)
        entry = _interval(persons, values)
        if entry is None:
            continue
        found[score] = entry
        if reference is None:
            continue
        others = _values(reference, files, score)
        # Seed by seed, where there are as many of both.
        if len(others) == len(values):
            paired = _interval(persons, values - others)
            if paired is not None:
                found[score] |= {
                    "difference": paired["mean"],
                    "difference_seeds": paired["seeds"],
                    "difference_interval": paired["interval"],
                }
    return found


def _values(members: Sequence[Mapping[str, Any]], files: Sequence[str], score: str) -> np.ndarray:
    """[seeds, pictures], NaN where a picture has no such score."""
    return np.array([[m["images"][f].get(score, np.nan) for f in files] for m in members])


def _interval(persons, values):
    counted = ~np.any(np.isnan(values), axis=0)
    if not np.any(counted):
        return None
    mean = np.where(counted, np.mean(np.where(counted, values, 0.0), axis=0), 0.0)
    bounds = persons.interval(mean, counted)
    return {
        "mean": float(np.mean(mean[counted])),
        "seeds": [float(np.mean(row[counted])) for row in values],
        "interval": list(bounds) if bounds else None,
    }
