"""What a study found: ratings, who beat whom, whether judges agree, and metrics with them."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from volsynth import files
from volsynth.errors import UserError
from volsynth.protocol import Protocol, told_apart
from volsynth.study import agreement, folders, plots, questions, ratings, store

LEVEL = 0.95
"""Of every interval."""

RESULTS = "results.json"
"""In a method's folder: what `volsynth evaluate` wrote for it."""

_MOST_BYTES = 16 * 2**20
_PRIOR = 1.0


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
      "elo": {task: {method: rating}}, "intervals": {task: {method: [low, high] or None}},
      "points": {task: rows of points, [i][j] those that method i took from method j},
      "elo_of_judges": {task: {judge: {method: rating}}}, "icc": {task: {"value", "low", "high",
      "judges"} or None}, "spearman": {task: {metric: {"rho", "agreement"}}},
      "better": {metric: "higher" or "lower"}, "scores": {metric: {method: score}},
      "warnings": what was left out, and why}.

    Raises:
      UserError: there is no such study, there are no answers, some methods were never compared with
        the others, or a file cannot be read.
    """
    if resamples < 1:
        raise UserError(f"--resamples must be at least 1, got {resamples}.")
    methods, answers = store.read(database)
    if not answers:
        raise UserError(f"{database} has no answers yet.")
    warnings: list[str] = []
    names = ("answers", "ties", "elo", "intervals", "points", "elo_of_judges", "icc", "spearman")
    found: dict[str, Any] = {name: {} for name in names}
    scores, better = _scores(methods, results, warnings)
    for task, given in store.by_task(answers):
        counts = _counts(methods, given)
        total = sum(counts.values())
        prior = _prior(total, task, warnings)
        rated = _rated(total, methods, prior, task)
        found["answers"][task] = len(given)
        found["ties"][task] = sum(answer.answer == "tie" for answer in given) / len(given)
        found["elo"][task] = _named(methods, rated)
        ends = _intervals(methods, given, counts, prior, resamples, seed, task, warnings)
        found["intervals"][task] = {
            name: None if np.isnan(low) else [float(low), float(high)]
            for name, low, high in zip(methods, *ends)
        }
        found["points"][task] = total.tolist()
        of_judges = _of_judges(counts, methods, task, warnings)
        found["elo_of_judges"][task] = {
            str(judge): _named(methods, row) for judge, row in of_judges.items()
        }
        found["icc"][task] = _icc(of_judges, task, warnings)
        found["spearman"][task] = _correlations(task, found["elo"][task], scores, better, warnings)
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


def _prior(counts, task, warnings):
    """0 if that is enough for finite ratings."""
    if ratings.has_ratings(counts):
        return 0.0
    warnings.append(
        f"{task}: a method, or a group, won or lost everything; a tied game was added to every "
        "pair that was played."
    )
    return _PRIOR


def _rated(counts, methods, prior, task):
    try:
        return ratings.fit(counts, methods, prior=prior)
    except UserError as error:
        raise UserError(f"{task}: {error}") from error


def _named(methods, values):
    return {name: float(value) for name, value in zip(methods, values)}


def _intervals(methods, given, counts, prior, resamples, seed, task, warnings):
    """Ends of the intervals, [M] each: a bootstrap over judges, who differ, and not over games."""
    stacked = np.stack(list(counts.values()))
    if len(stacked) == 1:
        warnings.append(f"{task}: there is one judge; intervals are over decisions, not judges.")
        games = [
            ratings.Game(answer.left, answer.right, questions.CHOICES[answer.answer])
            for answer in given
        ]
        options = {"level": LEVEL, "resamples": resamples, "seed": seed, "prior": prior or _PRIOR}
        return ratings.intervals(games, methods, **options)[:2]
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(stacked), np.full(len(stacked), 1 / len(stacked)), resamples)
    totals = np.einsum("rj,jab->rab", drawn.astype(float), stacked)
    played = totals + prior / 2 * (totals + totals.swapaxes(-1, -2) > 0)
    kept = ratings.has_ratings(played)
    if not np.all(kept):
        warnings.append(
            f"{task}: {np.sum(~kept)} of {resamples} resamples of judges have no finite ratings "
            "and were left out; intervals may be too narrow."
        )
    if not np.any(kept):
        return np.full((2, len(methods)), np.nan)
    tail = (1 - LEVEL) / 2
    return np.quantile(ratings.fit(played[kept], methods), [tail, 1 - tail], axis=0)


def _of_judges(counts, methods, task, warnings):
    """{judge: ratings [M]} of the judges who compared all methods; one prior for all of them."""
    prior = 0.0 if ratings.has_ratings(np.stack(list(counts.values()))).all() else _PRIOR
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
    letters, known = told_apart([Protocol.of_json(one) for one in protocols.values()])
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
        with path.open("rb") as file:
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
    for task, elo in found["elo"].items():
        blocks += [
            f"## {task.capitalize()}",
            f"{found['answers'][task]} decisions, {found['ties'][task]:.0%} of them ties. "
            + _agreement(found["icc"][task]),
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
