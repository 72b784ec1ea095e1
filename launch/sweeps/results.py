"""Gathering the results of the runs of a sweep in one file, from which pages are made."""

import math
import pathlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from launch.sweeps import spec
from volsynth import systems
from volsynth.config import config_from_dict, config_to_dict, load_config
from volsynth.diagnostics import describe
from volsynth.errors import UserError, did_you_mean
from volsynth.metrics import intervals
from volsynth.reports import compare
from volsynth.results.protocol import ALL, Protocol
from volsynth.train import run_record


def gather(
    runs: Sequence[spec.Run], root: pathlib.Path, about: spec.Presentation, split: str = "test"
) -> dict[str, Any]:
    """Gathers the results of all runs of a sweep that were scored, as JSON values.

    Groups are the runs that differ in their seed alone. The interval of a group is that of the mean
    over its seeds, over persons; its difference from the first group is over the same pictures and
    over the seeds that both have. What is not a number is null.

    Args:
      runs: the runs of the sweep.
      root: the folder of their workdirs.
      about: how the results are presented.
      split: the split that was scored.

    Returns:
      {"title", "shown", "published", "protocol", "baselines", "runs": [{"name", "group", "seed",
      "config", "overrides", "values" (the run's complete config), "commits" (of its starts),
      "scored" (the code that scored it), "jax", "device", "steps", "scores"}], "groups": {group:
      {"params", "operations", "operations_as_printed", "steps", "seeds", "scores": {score: {"mean",
      "seeds", "interval", "difference", "difference_interval"}}}}, "by": {fact: {"edges", "groups":
      {group: {score: the difference's [value, low, high] in each third of the pictures}}}}}.

    Raises:
      UserError: no run of the first group was scored, a run is of another config than the
        specification's, two were scored by different protocols or on other pictures, the
        specification names scores or groups that do not exist, or a file is damaged.
    """
    found, protocol = _read(runs, root, split)
    groups: dict[str, dict[int, Any]] = {}
    for run, one in found:
        groups.setdefault(run.group, {})[one["config"]["seed"]] = one
    # The specification has the reference on top.
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
    # Every other group is compared with it, picture by picture.
    reference = groups[first]
    # All runs have the same pictures, as `_read` has checked.
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
            # Facts that only some pictures have cannot divide all of them.
            for fact in facts
            if all(fact in line for line in pictures.values())
        },
    }


def _read(
    runs: Sequence[spec.Run], root: pathlib.Path, split: str
) -> tuple[list[tuple[spec.Run, dict[str, Any]]], Protocol]:
    """The runs that were scored, with their results, and the protocol that all of them share."""
    found, protocol = [], None
    for run in runs:
        workdir = root / run.name
        if not (workdir / "run.json").exists():
            continue
        one = compare.read(workdir, split)
        if not one["results"] or not one["images"]:
            continue
        # The name of a workdir says little: somebody may have trained something else in it.
        config = load_config(run.config, run.overrides)
        wanted = {"config": config_to_dict(config), "data": None, "notes": {}}
        wanted["later_keys"] = systems.make(config).later_keys
        same = {"config": one["config"], "data": None, "notes": {}}
        if differing := run_record.differences(same, wanted):
            raise UserError(
                f"{workdir} is a run of another config than the table's ({'; '.join(differing)})."
            )
        own = Protocol.from_json(one["results"]["protocol"])
        different = protocol.differences(own) if protocol else []
        # Differences are taken picture by picture, so that all runs need the same ones in one
        # order.
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


def _check_names(what: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raises UserError where a specification names what does not exist."""
    for name in names:
        if name not in known:
            raise UserError(f"{what} of the table: unknown {name!r}; {did_you_mean(name, known)}")


def _run(run: spec.Run, one: Mapping[str, Any]) -> dict[str, Any]:
    """The record of one run: its config, its starts and its scores."""
    starts, results = one["starts"], one["results"]
    # A run that was stopped has several starts; its weights come from the last one.
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


def _size(values: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of parameters and of operations of a config's model."""
    figures = describe.describe(config_from_dict(values))
    return {
        "params": figures["params_total"],
        "operations": figures["macs_2d"] + figures["macs_3d"],
        "operations_as_printed": figures["operations_as_printed"],
    }


def _scores(
    members: Mapping[int, Any],
    reference: Mapping[int, Any] | None,
    names: Iterable[str],
    persons: intervals.PersonDraws,
) -> dict[str, Any]:
    """Each score's mean over the seeds of a group, and its difference from the reference.

    Args:
      members: the runs of the group, by their seeds.
      reference: the runs of the first group; None for the first group itself.
      names: the scores.
      persons: the persons of the pictures, over whom intervals are.
    """
    found = {}
    for score in names:
        values, counted = _values(members, sorted(members), score)
        # Some scores exist for no picture, such as those of hidden parts in views that hide none.
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


def _thirds(
    fact: str,
    groups: Mapping[str, Mapping[int, Any]],
    shown: Sequence[str],
    persons: intervals.PersonDraws,
) -> dict[str, Any]:
    """Differences from the first group, in the thirds of the pictures by a fact about them."""
    (_, reference), *others = groups.items()
    # A fact, such as the turn between source and target, is the same in all runs.
    values, _ = _values(reference, sorted(reference)[:1], fact)
    # Thirds of equal size: fixed limits would leave some nearly empty.
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


def _difference(
    members: Mapping[int, Any],
    reference: Mapping[int, Any],
    seeds: Sequence[int],
    score: str,
    persons: intervals.PersonDraws,
    part: Any,
) -> tuple[float | None, list[float] | None]:
    """The difference of a score between two groups, and the bounds of its interval.

    Args:
      members: the runs of one group, by their seeds.
      reference: the runs of the group that is subtracted.
      seeds: the seeds that both have, over which the mean is taken.
      score: the score.
      persons: the persons of the pictures, over whom the interval is.
      part: which pictures count; True for all.
    """
    (a, in_a), (b, in_b) = (_values(group, seeds, score) for group in (members, reference))
    return _summary(np.mean(a - b, axis=0), in_a & in_b & part, persons)


def _values(
    members: Mapping[int, Any], seeds: Sequence[int], score: str
) -> tuple[np.ndarray, np.ndarray]:
    """A score of every picture, and which pictures have it in all runs.

    Returns:
      [seeds, pictures], 0 where a picture has no such score; [pictures] bool.
    """
    lines = [list(members[seed]["images"].values()) for seed in seeds]
    values = np.array([[line.get(score, 0.0) for line in run] for run in lines])
    counted = np.array([[score in line for line in run] for run in lines])
    return values, np.all(counted, axis=0)


def _summary(
    values: np.ndarray, counted: np.ndarray, persons: intervals.PersonDraws
) -> tuple[float | None, list[float] | None]:
    """The mean of the pictures that count, and the bounds of its interval."""
    mean = _mean(values, counted)
    bounds = persons.interval(values, counted) if mean is not None else None
    return mean, list(bounds) if bounds else None


def _mean(values: np.ndarray, counted: np.ndarray) -> float | None:
    """The mean of the pictures that count; None if none does or a picture's score is no number."""
    mean = float(np.mean(values[counted])) if np.any(counted) else math.nan
    return mean if math.isfinite(mean) else None
