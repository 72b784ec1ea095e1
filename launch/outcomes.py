"""The results of the runs of a table in one file, from which the tables of the docs are made."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from launch import table
from volsynth.config import config_from_dict, config_to_dict, load_config
from volsynth.diagnostics import describe
from volsynth.errors import UserError, did_you_mean
from volsynth.metrics import intervals
from volsynth.reports import compare
from volsynth.results.protocol import ALL, Protocol
from volsynth.train import run_record


def gather(
    runs: Sequence[table.Run], root: pathlib.Path, about: table.About, split: str = "test"
) -> dict[str, Any]:
    """The results of all runs of a table that were scored, as JSON values.

    Groups are the runs that differ in their seed alone. The interval of a group is that of the mean
    over its seeds, over persons; its difference from the first group is over the same pictures and
    over the seeds that both have. What is not a number is null.

    Returns:
      {"title", "shown", "published", "protocol", "baselines", "runs": [{"name", "group", "seed",
      "config", "overrides", "values" (the run's whole config), "commits" (of its starts), "scored"
      (the code that scored it), "jax", "device", "steps", "scores"}], "groups": {group: {"params",
      "operations", "operations_as_printed", "steps", "seeds", "scores": {score: {"mean", "seeds",
      "interval", "difference", "difference_interval"}}}}, "by": {fact: {"edges", "groups": {group:
      {score: the difference's [value, low, high] in each third of the pictures}}}}}.

    Raises:
      UserError: no run of the first group was scored, a run is of another config than the table's,
        two were scored by different protocols or on other pictures, the table names scores or
        groups that there are not, or a file is damaged.
    """
    found, protocol = _read(runs, root, split)
    groups: dict[str, dict[int, Any]] = {}
    for run, one in found:
        groups.setdefault(run.group, {})[one["config"]["seed"]] = one
    first = runs[0].group
    if first not in groups:
        raise UserError(
            f"no run of {first}, with which the others are compared, was scored yet; see python -m "
            f"launch sweep --evaluate."
        )
    scores = [name for name in protocol.scores if name != ALL]
    shown = list(about.scores) or list(found[0][1]["results"]["metrics"])
    _check_names("scores", shown, scores)
    known = {"of", "note", *(run.group for run in runs)}
    _check_names("published", [name for name in about.published if name not in known], known)
    reference = groups[first]
    pictures = next(iter(reference.values()))["images"]
    persons = intervals.PersonDraws([line["person"] for line in pictures.values()])
    facts = sorted({key for line in pictures.values() for key in line} - {"person", *scores})
    return {
        "title": about.title,
        "shown": shown,
        "published": dict(about.published),
        "protocol": protocol.to_json(),
        "baselines": found[0][1]["results"]["baselines"],
        "runs": [_run(run, one) for run, one in found],
        "groups": {
            group: {
                **_size(next(iter(members.values()))["config"]),
                "steps": sorted({one["results"]["step"] for one in members.values()}),
                "seeds": sorted(members),
                "scores": _scores(members, None if group == first else reference, scores, persons),
            }
            for group, members in groups.items()
        },
        "by": {
            fact: _thirds(fact, groups, shown, persons)
            for fact in facts
            if all(fact in line for line in pictures.values())
        },
    }


def _read(runs, root, split):
    """Runs with their results, and the protocol of all."""
    found, protocol = [], None
    for run in runs:
        workdir = root / run.name
        if not (workdir / "run.json").exists():
            continue
        one = compare.read(workdir, split)
        if not one["results"] or not one["images"]:
            continue
        wanted = {"config": config_to_dict(load_config(run.config, run.overrides)), "data": None}
        same = {"config": one["config"], "data": None, "notes": {}}
        if differing := run_record.differences(same, {**wanted, "notes": {}}):
            raise UserError(
                f"{workdir} is a run of another config than the table's ({'; '.join(differing)})."
            )
        own = Protocol.from_json(one["results"]["protocol"])
        different = protocol.differences(own) if protocol else []
        if found and list(one["images"]) != list(found[0][1]["images"]):
            different.append("pictures")
        if different:
            raise UserError(
                f"{run.name} was not scored as the runs before it; different are "
                f"{', '.join(different)}. Score it again: remove {workdir / f'evaluate-{split}'}."
            )
        protocol = protocol.merged(own) if protocol else own
        found.append((run, one))
    if not found:
        raise UserError(f"no run in {root} was scored yet; see python -m launch sweep --evaluate.")
    return found, protocol


def _check_names(what, names, known):
    for name in names:
        if name not in known:
            raise UserError(f"{what} of the table: unknown {name!r}; {did_you_mean(name, known)}")


def _run(run, one):
    starts, results = one["starts"], one["results"]
    last = starts[-1] if starts else {}
    return {
        "name": run.name,
        "group": run.group,
        "seed": one["config"]["seed"],
        "config": run.config,
        "overrides": list(run.overrides),
        "values": one["config"],
        "commits": sorted({str(start.get("commit")) for start in starts}),
        "scored": results.get("code"),
        **{key: last.get(key) for key in ("jax", "device")},
        "steps": results["step"],
        "scores": {**results["metrics"], **results.get("details", {}).get(results["label"], {})},
    }


def _size(values):
    figures = describe.describe(config_from_dict(values))
    return {
        "params": figures["params_total"],
        "operations": figures["macs_2d"] + figures["macs_3d"],
        "operations_as_printed": figures["operations_as_printed"],
    }


def _scores(members, reference, names, persons):
    """Of a group: each score's mean over the seeds, and its difference from the reference."""
    found = {}
    for score in names:
        values, counted = _values(members, sorted(members), score)
        if not np.any(counted):
            continue
        means = [_mean(row, counted) for row in values]
        mean, bounds = _summary(np.mean(values, axis=0), counted, persons)
        found[score] = {"mean": mean, "seeds": means, "interval": bounds}
        shared = sorted(set(members) & set(reference or ()))
        if shared:
            value, bounds = _difference(members, reference, shared, score, persons, True)
            found[score] |= {"difference": value, "difference_interval": bounds}
    return found


def _thirds(fact, groups, shown, persons):
    """Differences from the first group where a fact is small, in the middle, and large."""
    (_, reference), *others = groups.items()
    values, _ = _values(reference, sorted(reference)[:1], fact)
    edges = np.quantile(values[0], [1 / 3, 2 / 3])
    third = np.digitize(values[0], edges)
    found: dict[str, Any] = {}
    for group, members in others:
        shared = sorted(set(members) & set(reference))
        if not shared:
            continue
        found[group] = {}
        for score in shown:
            parts = [
                _difference(members, reference, shared, score, persons, third == k)
                for k in range(3)
            ]
            if all(value is not None for value, _ in parts):
                found[group][score] = [[value, *(b or (None, None))] for value, b in parts]
    return {"edges": edges.tolist(), "groups": found}


def _difference(members, reference, seeds, score, persons, part):
    """Over some of the pictures, the mean over the seeds of both; (value, bounds)."""
    (a, in_a), (b, in_b) = (_values(group, seeds, score) for group in (members, reference))
    return _summary(np.mean(a - b, axis=0), in_a & in_b & part, persons)


def _values(members: Mapping[int, Any], seeds: Sequence[int], score: str):
    """[seeds, pictures], 0 where a picture has no such score, and which pictures all have it."""
    lines = [list(members[seed]["images"].values()) for seed in seeds]
    values = np.array([[line.get(score, 0.0) for line in run] for run in lines])
    counted = np.array([[score in line for line in run] for run in lines])
    return values, np.all(counted, axis=0)


def _summary(values, counted, persons):
    mean = _mean(values, counted)
    bounds = persons.interval(values, counted) if mean is not None else None
    return mean, list(bounds) if bounds else None


def _mean(values, counted):
    """None where there is none, or a picture's score is no number."""
    mean = float(np.mean(values[counted])) if np.any(counted) else math.nan
    return mean if math.isfinite(mean) else None
