"""What a study found: ratings, who beat whom, whether judges agree, and metrics with them."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from volsynth import files
from volsynth.errors import UserError
from volsynth.results.protocol import Protocol, group_protocols
from volsynth.study import agreement, folders, plots, questions, ratings, resampling, store

LEVEL = 0.95
"""Of every interval."""

RESULTS = "results.json"
"""In a method's folder: what `volsynth evaluate` wrote for it."""

PRIOR = 0.1
"""Tied games added to every pair that was played, in the ratings and in all their resamples.

Nobody then has an infinite rating. One that is as low as this moves others by little, and leaves
intervals wide where games say little (docs/study.md).
"""

_MOST_BYTES = 16 * 2**20
_PRIOR_OF_A_JUDGE = 1.0


def report(
    database: pathlib.Path,
    results: Sequence[pathlib.Path] = (),
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that a study's answers say, as JSON values.

    Args:
      database: of `volsynth study serve`.
      results: folders of methods, for their metrics.
      resamples: of the bootstrap.
      seed: of the bootstrap.

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
    names = ("answers", "ties", "points", "unrated", "elo", "intervals", "left_out")
    names += ("elo_of_judges", "icc", "spearman")
    found: dict[str, Any] = {name: {} for name in names}
    scores, better = _scores(methods, results, warnings)
    for task, given in store.by_task(answers):
        counts = _counts(methods, given)
        total = sum(counts.values())
        found["answers"][task] = len(given)
        found["ties"][task] = sum(answer.answer == "tie" for answer in given) / len(given)
        found["points"][task] = total.tolist()
        try:
            rated = ratings.fit(total, methods, prior=PRIOR)
        except UserError as error:
            # The task that is under way, mostly.
            found["unrated"][task] = str(error)
            warnings.append(f"{task}: not rated yet: {error}")
            continue
        found["elo"][task] = _named(methods, rated)
        if not ratings.has_ratings(total):
            warnings.append(
                f"{task}: a method, or a group, won or lost everything: how far it is from the "
                f"others, and its interval, rest on the {PRIOR:g} tied games added to every pair."
            )
        intervals = _intervals(methods, given, counts, resamples, seed, task, warnings)
        found["left_out"][task] = intervals.left_out
        found["intervals"][task] = {
            name: None if np.isnan(low) else [float(low), float(high)]
            for name, low, high in zip(methods, intervals.low, intervals.high)
        }
        of_judges = _of_judges(counts, methods, task, warnings)
        found["elo_of_judges"][task] = {
            str(judge): _named(methods, row) for judge, row in of_judges.items()
        }
        found["icc"][task] = _icc(of_judges, task, warnings)
        found["spearman"][task] = _correlations(task, found["elo"][task], scores, better, warnings)
    if not found["elo"]:
        reasons = " ".join(f"{task}: {why}" for task, why in found["unrated"].items())
        raise UserError(f"no task can be rated yet. {reasons}")
    judges = len({answer.judge for answer in answers})
    return {
        "methods": list(methods),
        "judges": judges,
        **found,
        "better": better,
        "scores": scores,
        # Those about metrics come once for each task.
        "warnings": list(dict.fromkeys(warnings)),
    }


def _counts(methods, given):
    """{judge: points [M, M]} of one task."""
    games: dict[int, list[ratings.Game]] = {}
    for answer in given:
        game = ratings.Game(answer.left, answer.right, questions.CHOICES[answer.answer])
        games.setdefault(answer.judge, []).append(game)
    return {judge: ratings.count(of_judge, methods) for judge, of_judge in games.items()}


def _named(methods, values):
    return {name: float(value) for name, value in zip(methods, values)}


def _intervals(methods, given, counts, resamples, seed, task, warnings):
    """Over judges, who differ, and not over games; but of one judge there are games only."""
    options = {"level": LEVEL, "resamples": resamples, "seed": seed, "prior": PRIOR}
    if len(counts) == 1:
        warnings.append(f"{task}: there is one judge; intervals are over decisions, not judges.")
        games = [
            ratings.Game(answer.left, answer.right, questions.CHOICES[answer.answer])
            for answer in given
        ]
        found, whom = resampling.over_games(games, methods, **options), "decisions"
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
    if np.any(none) and not (found.left_out and np.all(none)):
        names = ", ".join(name for name, missing in zip(methods, none) if missing)
        warnings.append(f"{task}: no interval of {names}: resamples of {whom} do not differ.")
    return found


def _of_judges(counts, methods, task, warnings):
    """{judge: ratings [M]} of the judges who compared all methods; one prior for all of them."""
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
        warnings.append(f"{task}: no agreement between judges: {error}")
        return None
    return {**value._asdict(), "judges": len(of_judges)}


def _correlations(task, elo, scores, better, warnings):
    if not scores:
        return {}
    try:
        return agreement.correlations({task: elo}, scores, better)[task]
    except UserError as error:
        warnings.append(f"{task}: no correlations with metrics: {error}")
        return {}


def _scores(methods, results, warnings):
    """{metric: {method: score}} of the metrics that all methods have, and what is better."""
    found, protocols = {}, {}
    for path in results:
        folder = folders.read(path)
        if folder.method not in methods:
            raise UserError(
                f"{path} holds the method {folder.method!r}, which is not in the study: "
                f"{', '.join(methods)}."
            )
        read = _results(path / RESULTS)
        if read is None:
            warnings.append(f"{folder.method}: no {RESULTS} in {path}; see volsynth evaluate.")
            continue
        found[folder.method], protocols[folder.method] = read
    missing = [name for name in methods if name not in found]
    if missing:
        if results:
            warnings.append(f"no metrics of {', '.join(missing)}: metrics are not compared.")
        return {}, {}
    letters, known = group_protocols([Protocol.from_json(one) for one in protocols.values()])
    if len(known) > 1:
        different = {key for other in known.values() for key in known["a"].differences(other)}
        warnings.append(
            f"the metrics of the methods were not made by the same protocol; different are "
            f"{', '.join(sorted(different))}."
        )
    first = {"scores": known[letters[0]].scores}
    scores, better = {}, {}
    for metric in found[methods[0]]:
        values = {name: found[name].get(metric) for name in methods}
        direction = (first.get("scores", {}).get(metric) or {}).get("better")
        if direction not in agreement.BETTER or not all(
            isinstance(value, (int, float)) and np.isfinite(value) for value in values.values()
        ):
            warnings.append(f"{metric}: not known of all methods, or not what is better: left out.")
        elif len(set(values.values())) == 1:
            warnings.append(f"{metric}: the same of all methods: left out.")
        else:
            scores[metric], better[metric] = values, direction
    return scores, better


def _results(path):
    """Scores and protocol of `volsynth evaluate`; None without the file."""
    try:
        with files.open_regular(path) as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        found = json.loads(data) if len(data) <= _MOST_BYTES else None
        metrics, protocol = found["metrics"], found["protocol"]
        if isinstance(metrics, dict) and all(
            isinstance(each, dict) for each in (protocol, protocol.get("scores", {}))
        ):
            return metrics, protocol
    except (ValueError, RecursionError, TypeError, KeyError):
        pass
    raise UserError(f"{path} is damaged: it has no scores. Evaluate again: volsynth evaluate.")


# --- for people ----------------------------------------------------------------------------------


def markdown(found: Mapping[str, Any]) -> str:
    """A report as Markdown."""
    blocks = [
        f"# A study of {len(found['methods'])} methods by {_judges(found['judges'])}",
        f"Ratings are in units in which σ(difference) is the probability to win; in brackets "
        f"{LEVEL:.0%} intervals.",
    ]
    for task in found["answers"]:
        if task in found["unrated"]:
            why = found["unrated"][task]
            said = f"{_decisions(found, task)} Not rated yet: {why}"
            blocks += [f"## {task.capitalize()}", said]
            continue
        elo = found["elo"][task]
        blocks += [
            f"## {task.capitalize()}",
            f"{_decisions(found, task)} {_agreement(found['icc'][task])}",
            _table(found, task, sorted(elo, key=elo.get, reverse=True)),
        ]
    correlated = {task: row for task, row in found["spearman"].items() if row}
    if correlated:
        blocks += [
            "## Metrics",
            "Spearman's correlation with the ratings; (!) runs against what is better.",
            agreement.table(correlated, found["better"]),
        ]
    if found["warnings"]:
        blocks += ["## Notes", "\n".join(f"* {line}" for line in found["warnings"])]
    return "\n\n".join(blocks) + "\n"


def _judges(count):
    return "one judge" if count == 1 else f"{count} judges"


def _decisions(found, task):
    count = found["answers"][task]
    number = "One decision" if count == 1 else f"{count} decisions"
    return f"{number}, {found['ties'][task]:.0%} of them ties."


def _agreement(icc):
    if icc is None:
        return "Agreement between judges is not known."
    return (
        f"Agreement of {icc['judges']} judges, ICC(3,1): {icc['value']:.2f} "
        f"[{icc['low']:.2f}, {icc['high']:.2f}]."
    )


def _table(found, task, order):
    """Ratings, the best first, and the points of each row against each column."""
    number = {name: i for i, name in enumerate(found["methods"])}
    lines = [
        "| | rating | interval | " + " | ".join(f"against {name}" for name in order) + " |",
        "|---" * (len(order) + 3) + "|",
    ]
    points = found["points"][task]

    def score(i, j):
        return "–" if i == j else f"{points[i][j]:g} : {points[j][i]:g}"

    for name in order:
        ends = found["intervals"][task][name]
        interval = "–" if ends is None else f"[{ends[0]:+.2f}, {ends[1]:+.2f}]"
        cells = [score(number[name], number[other]) for other in order]
        rating = f"{found['elo'][task][name]:+.2f} | {interval}"
        lines.append(f"| {name} | {rating} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(found: Mapping[str, Any], out: pathlib.Path) -> list[pathlib.Path]:
    """Writes report.json, report.md and the pictures ratings.png, wins.png and metrics.png.

    The last is there only where metrics are compared.

    Returns:
      What was written.

    Raises:
      UserError: it cannot be written.
    """
    drawn = {"ratings.png": plots.ratings(found), "wins.png": plots.wins(found)}
    if found["scores"]:
        drawn["metrics.png"] = plots.metrics(found)
    try:
        files.write_text(out / "report.json", json.dumps(found, indent=2) + "\n")
        files.write_text(out / "report.md", markdown(found))
        for name, figure in drawn.items():
            save = figure.savefig
            files.write_atomically(out / name, lambda file, save=save: save(file, format="png"))
    except OSError as error:
        raise UserError(f"cannot write the report to {out}: {error.strerror}.") from error
    return [out / name for name in ("report.json", "report.md", *drawn)]
