"""The report of a study: ratings, who beat whom, whether judges agree, and metrics with them."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from volsynth.errors import UserError
from volsynth.study import agreement, metric_scores, questions, ratings, resampling, store

LEVEL = 0.95
"""The level of every confidence interval in a report."""

PRIOR = 0.1
"""Tied games added to every pair that was played, in the ratings and in all their resamples.

Nobody then has an infinite rating. One that is as low as this moves others by little, and leaves
intervals wide where games say little (docs/study.md).
"""

# With a prior as low as `PRIOR`, a method that won all of one judge's few decisions would be rated
# far above all others.
_PRIOR_OF_A_JUDGE = 1.0

_PARTS = (
    *("answers", "ties", "points", "unrated", "elo", "intervals", "left_out"),
    *("elo_of_judges", "icc", "spearman"),
)
"""The parts of a report about each task, in the order in which they are written."""


def report(
    database: pathlib.Path,
    results: Sequence[pathlib.Path] = (),
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that the answers of a study say, as JSON values.

    Args:
      database: the file of answers, of `volsynth study serve`.
      results: folders of methods, for their metrics.
      resamples: number of resamples of the bootstrap.
      seed: seed of the bootstrap.

    Returns:
      {"methods", "judges": how many answered, "answers": {task: count}, "ties": {task: share},
      "points": {task: rows of points, [i][j] those that method i took from method j},
      "unrated": {task: why it is in none of what follows},
      "elo": {task: {method: rating}}, "intervals": {task: {method: [low, high] or None}},
      "left_out": {task: how many resamples have no ratings},
      "elo_of_judges": {task: {judge: {method: rating}}}, "icc": {task: {"value", "low", "high",
      "judges"} or None}, "spearman": {task: {metric: {"rho", "agreement"}}},
      "better": {metric: "higher" or "lower"}, "scores": {metric: {method: score}},
      "warnings": what was left out, and why}.

    Raises:
      UserError: there is no such study, there are no answers, in no task all methods were compared
        with the others, or a file cannot be read.
    """
    if resamples < 1:
        raise UserError(f"--resamples must be at least 1, got {resamples}.")
    methods, answers = store.read(database)
    if not answers:
        raise UserError(f"{database} has no answers yet.")
    warnings: list[str] = []
    found: dict[str, Any] = {part: {} for part in _PARTS}
    scores, better = metric_scores.read(methods, results, warnings)
    for task, given in store.group_by_task(answers):
        rated = _rate_task(methods, given, resamples, seed, task, warnings)
        if "elo" in rated:
            rated["spearman"] = _correlations(task, rated["elo"], scores, better, warnings)
        for part, value in rated.items():
            found[part][task] = value
    if not found["elo"]:
        reasons = " ".join(f"{task}: {why}" for task, why in found["unrated"].items())
        raise UserError(f"no task can be rated yet. {reasons}")
    return {
        "methods": list(methods),
        "judges": len({answer.judge for answer in answers}),
        **found,
        "better": better,
        "scores": scores,
        # Warnings about metrics come once for each task.
        "warnings": list(dict.fromkeys(warnings)),
    }


def _rate_task(methods, given, resamples, seed, task, warnings):
    """The parts of a report about one task, of which a task that cannot be rated has a few."""
    counts = _points_of_judges(methods, given)
    total = sum(counts.values())
    parts: dict[str, Any] = {
        "answers": len(given),
        "ties": sum(answer.answer == "tie" for answer in given) / len(given),
        "points": total.tolist(),
    }
    try:
        rated = ratings.fit(total, methods, prior=PRIOR)
    except UserError as error:
        # Mostly the task that is under way, in which some methods were not compared yet.
        warnings.append(f"{task}: not rated yet: {error}")
        return {**parts, "unrated": str(error)}
    if not ratings.has_ratings(total):
        warnings.append(
            f"{task}: a method, or a group, won or lost everything: how far it is from the "
            f"others, and its interval, rest on the {PRIOR:g} tied games added to every pair."
        )
    intervals = _intervals(methods, given, counts, resamples, seed, task, warnings)
    of_judges = _ratings_of_judges(counts, methods, task, warnings)
    return {
        **parts,
        "elo": _by_method(methods, rated),
        "left_out": intervals.left_out,
        "intervals": {
            # JSON has no NaN.
            name: None if np.isnan(low) else [float(low), float(high)]
            for name, low, high in zip(methods, intervals.low, intervals.high)
        },
        "elo_of_judges": {str(judge): _by_method(methods, row) for judge, row in of_judges.items()},
        "icc": _icc(of_judges, task, warnings),
    }


def _games(answers):
    return [
        ratings.Game(answer.left, answer.right, questions.CHOICES[answer.answer])
        for answer in answers
    ]


def _points_of_judges(methods, given):
    """Points {judge: [M, M]} of one task."""
    of_judges: dict[int, list[store.Answer]] = {}
    for answer in given:
        of_judges.setdefault(answer.judge, []).append(answer)
    return {judge: ratings.count(_games(answers), methods) for judge, answers in of_judges.items()}


def _by_method(methods, values):
    return {name: float(value) for name, value in zip(methods, values)}


def _intervals(methods, given, counts, resamples, seed, task, warnings):
    """Intervals over judges; of a single judge, over decisions."""
    # Judges differ from one another by more than chance, so that intervals over decisions would be
    # too narrow; but one judge cannot be resampled.
    options = {"level": LEVEL, "resamples": resamples, "seed": seed, "prior": PRIOR}
    if len(counts) == 1:
        warnings.append(f"{task}: there is one judge; intervals are over decisions, not judges.")
        found, whom = resampling.over_games(_games(given), methods, **options), "decisions"
    else:
        stacked = np.stack(list(counts.values()))
        found, whom = resampling.over_judges(stacked, methods, **options), "judges"
    none = np.isnan(found.low)
    if found.left_out:
        tail = "there are no intervals" if np.all(none) else "they were left out"
        warnings.append(
            f"{task}: in {found.left_out} of {resamples} resamples of {whom} some methods were "
            f"never compared; {tail}."
        )
    # Where resamples were left out and nobody has an interval, the first warning says why.
    if np.any(none) and not (found.left_out and np.all(none)):
        names = ", ".join(name for name, missing in zip(methods, none) if missing)
        warnings.append(f"{task}: no interval of {names}: resamples of {whom} do not differ.")
    return found


def _ratings_of_judges(counts, methods, task, warnings):
    """Ratings {judge: [M]} of the judges who compared all methods."""
    # One prior for all judges or for none: their ratings are compared with one another, and a prior
    # pulls ratings together.
    prior = 0.0 if ratings.has_ratings(np.stack(list(counts.values()))).all() else _PRIOR_OF_A_JUDGE
    if prior:
        warnings.append(
            f"{task}: some judge let a method win or lose everything; for the ratings of single "
            "judges a tied game was added to every pair that each of them compared."
        )
    found = {}
    for judge, points in counts.items():
        try:
            found[judge] = ratings.fit(points, methods, prior=prior)
        except UserError:
            warnings.append(
                f"{task}: judge {judge} has not compared all methods yet, and is left out of the "
                "agreement between judges."
            )
    return found


def _icc(of_judges, task, warnings):
    if len(of_judges) < 2:
        warnings.append(f"{task}: agreement between judges needs two of them.")
        return None
    try:
        value = agreement.icc(np.stack(list(of_judges.values()), axis=1), LEVEL)
    except UserError as error:
        # Judges who found everything equal: the rest of the report says so, and is worth having.
        warnings.append(f"{task}: no agreement between judges: {error}")
        return None
    return {**value._asdict(), "judges": len(of_judges)}


def _correlations(
    task: str,
    elo: Mapping[str, float],
    scores: Mapping[str, Mapping[str, float]],
    better: Mapping[str, str],
    warnings: list[str],
):
    if not scores:
        return {}
    try:
        return agreement.correlations({task: elo}, scores, better)[task]
    except UserError as error:
        # Fewer than three methods, mostly.
        warnings.append(f"{task}: no correlations with metrics: {error}")
        return {}
