"""Scores of a study's methods by metrics, from the results of `volsynth evaluate`."""

import json
import pathlib
from collections.abc import Sequence

import numpy as np

from volsynth import files
from volsynth.errors import UserError, os_errors_explained
from volsynth.results.protocol import Protocol, group_protocols
from volsynth.study import agreement, folders

RESULTS = "results.json"
"""The file in a method's folder that `volsynth evaluate` wrote for it."""

_MOST_BYTES = 16 * 2**20


def read(
    methods: Sequence[str], results: Sequence[pathlib.Path], warnings: list[str]
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """The scores of those metrics that all methods of a study have.

    Args:
      methods: names of the study's methods.
      results: folders of methods.
      warnings: gets a line for everything that is left out.

    Returns:
      {metric: {method: score}}, and for each metric whether "higher" or "lower" is better. Both are
      empty where a method has no scores.

    Raises:
      UserError: a folder is of a method that is not in the study, or a file cannot be read.
    """
    metrics, protocols = {}, {}
    for path in results:
        folder = folders.read(path)
        if folder.method not in methods:
            raise UserError(
                f"{path} holds the method {folder.method!r}, which is not in the study: "
                f"{', '.join(methods)}."
            )
        found = _read_results(path / RESULTS)
        if found is None:
            warnings.append(f"{folder.method}: no {RESULTS} in {path}; see volsynth evaluate.")
            continue
        metrics[folder.method], protocols[folder.method] = found
    missing = [name for name in methods if name not in metrics]
    if missing:
        # Without any folder, nobody asked for metrics.
        if results:
            warnings.append(f"no metrics of {', '.join(missing)}: metrics are not compared.")
        return {}, {}
    return _comparable(methods, metrics, _directions(protocols, warnings), warnings)


def _directions(protocols, warnings):
    """Directions {metric: what its protocol says is better}; warns where protocols differ."""
    letters, known = group_protocols([Protocol.from_json(one) for one in protocols.values()])
    if len(known) > 1:
        different = {key for other in known.values() for key in known["a"].differences(other)}
        # A warning only: ranks of methods may be compared nevertheless, by whoever knows why.
        warnings.append(
            f"the metrics of the methods were not made by the same protocol; different are "
            f"{', '.join(sorted(different))}."
        )
    scores = known[letters[0]].scores
    return {metric: (entry or {}).get("better") for metric, entry in scores.items()}


def _comparable(methods, metrics, directions, warnings):
    """Scores and directions of the metrics that order the methods."""
    scores, better = {}, {}
    for metric in metrics[methods[0]]:
        values = {name: metrics[name].get(metric) for name in methods}
        direction = directions.get(metric)
        if direction not in agreement.BETTER or not all(
            isinstance(value, (int, float)) and np.isfinite(value) for value in values.values()
        ):
            warnings.append(f"{metric}: not known of all methods, or not what is better: left out.")
        elif len(set(values.values())) == 1:
            # Equal scores have no ranks, and so no rank correlation.
            warnings.append(f"{metric}: the same of all methods: left out.")
        else:
            scores[metric], better[metric] = values, direction
    return scores, better


def _read_results(path):
    """The metrics and the protocol of a file of results; None without the file."""
    with os_errors_explained("read", path, path_first=True):
        try:
            with files.open_regular(path) as file:
                # One byte more tells a file that is too large from one that just is not.
                data = file.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            return None
    try:
        found = json.loads(data) if len(data) <= _MOST_BYTES else None
        metrics, protocol = found["metrics"], found["protocol"]
        if isinstance(metrics, dict) and all(
            isinstance(each, dict) for each in (protocol, protocol.get("scores", {}))
        ):
            return metrics, protocol
    # RecursionError is what deeply nested JSON raises: the file may come from anywhere.
    except (ValueError, RecursionError, TypeError, KeyError):
        pass
    raise UserError(f"{path} is damaged: it has no scores. Evaluate again: volsynth evaluate.")
