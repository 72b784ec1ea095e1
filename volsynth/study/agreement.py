"""Agreement between judges (intraclass correlation), and of metrics with judges (Spearman)."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import stats

from volsynth.errors import UserError

BETTER = {"higher": 1, "lower": -1}
"""The sign that turns a metric's correlation with ratings into agreement, by whether its higher or
its lower scores are better."""

_ARROWS = {"higher": "↑", "lower": "↓"}


class Icc(NamedTuple):
    """An intraclass correlation with its confidence interval.

    Attributes:
      value: The correlation, at most 1.
      low: Lower end of the interval.
      high: Upper end of the interval.
    """

    value: float
    low: float
    high: float


def icc(scores: np.ndarray, level: float = 0.95) -> Icc:
    """Computes ICC(3,1) of Shrout and Fleiss (1979): the same raters rate every subject, each once.

    It is the one of two-way mixed effects, consistency and a single rater: a rater who is stricter
    than another by a constant still agrees. The interval is theirs, from the F distribution.

    Args:
      scores: the score of each subject by each rater, [subjects, raters].
      level: the level of the confidence interval, between 0 and 1.

    Raises:
      UserError: there are fewer than two subjects or raters, a score is not finite, no subject and
        no rater differs from the others, or the level makes no sense.
    """
    scores = np.asarray(scores, float)
    if scores.ndim != 2 or min(scores.shape) < 2:
        raise UserError(f"Scores must be of two or more subjects by raters, got {scores.shape}.")
    if not np.all(np.isfinite(scores)):
        raise UserError("A score is missing or not finite: every rater must rate every subject.")
    if not 0 < level < 1:
        raise UserError(f"The level of an interval must lie between 0 and 1, got {level}.")
    subjects, raters = scores.shape
    # The mean squares of a two-way analysis of variance: between subjects, and of what neither
    # subject nor rater explains. Subtracting each rater's mean is what makes strictness not count.
    of_subject = scores.mean(1, keepdims=True) - scores.mean()
    rest = scores - scores.mean(0) - of_subject
    free = (subjects - 1) * (raters - 1)
    between = raters * np.sum(of_subject**2) / (subjects - 1)
    error = np.sum(rest**2) / free
    # Not compared with 0: means are rounded, so that equal scores leave squares of rounding errors.
    if between + error <= (1e-12 * np.abs(scores).max()) ** 2:
        raise UserError("Every rater gave all subjects one score: agreement is not defined.")

    def correlation(between, error):
        return float((between - error) / (between + (raters - 1) * error))

    tail = (1 + level) / 2
    # The interval scales the ratio F of the mean squares by quantiles of its distribution. Scaling
    # one of them instead keeps perfect agreement, whose F is infinite, finite.
    low = correlation(between, error * stats.f.ppf(tail, subjects - 1, free))
    high = correlation(between * stats.f.ppf(tail, free, subjects - 1), error)
    return Icc(correlation(between, error), low, high)


def correlations(
    ratings: Mapping[str, Mapping[str, float]],
    metrics: Mapping[str, Mapping[str, float]],
    better: Mapping[str, str],
) -> dict[str, dict[str, dict[str, float]]]:
    """Computes Spearman's rank correlation of every metric with the ratings of every task.

    Args:
      ratings: {task: {model: rating}}.
      metrics: {metric: {model: score}}, of the same models.
      better: {metric: "higher" or "lower"}, as in the metrics' protocols.

    Returns:
      {task: {metric: {"rho", "agreement"}}}. The agreement is rho with its sign turned where lower
      scores are better, so that 1 always means that the metric orders the models as people do.

    Raises:
      UserError: there are fewer than three models, a metric and a task have other models, a metric
        lacks its direction, or values are all the same or not finite.
    """
    result = {}
    for task, of_model in ratings.items():
        models = sorted(of_model)
        # The ranks of two models agree or do not: the coefficient would be 1 or -1 by chance.
        if len(models) < 3:
            raise UserError(f"A rank correlation needs three models, {task!r} has {len(models)}.")
        rated = _values(of_model, models, f"The ratings of {task!r}")
        result[task] = {}
        for metric, scores in metrics.items():
            direction = better.get(metric)
            if direction not in BETTER:
                raise UserError(
                    f"Whether higher or lower is better is not known of {metric!r}: "
                    f"got {direction!r}. Allowed: {', '.join(BETTER)}."
                )
            if sorted(scores) != models:
                raise UserError(
                    f"{metric!r} scores other models than {task!r} rates: "
                    f"{', '.join(sorted(set(scores) ^ set(models)))}."
                )
            scored = _values(scores, models, f"The scores of {metric!r}")
            rho = float(stats.spearmanr(rated, scored).statistic)
            result[task][metric] = {"rho": rho, "agreement": BETTER[direction] * rho}
    return result


def table(
    correlated: Mapping[str, Mapping[str, Mapping[str, float]]], better: Mapping[str, str]
) -> str:
    """The result of `correlations` as a table in Markdown.

    Each metric has an arrow towards its better scores; a correlation that runs against the arrow is
    marked by (!).

    Args:
      correlated: the result of `correlations`.
      better: {metric: "higher" or "lower"}.
    """
    metrics = list(next(iter(correlated.values()), {}))
    lines = [
        "".join(f"| {name} " for name in ["", *(f"{m} {_ARROWS[better[m]]}" for m in metrics)]),
        "|---" * (len(metrics) + 1),
    ]
    for task, row in correlated.items():
        cells = [f"{row[m]['rho']:.2f}{' (!)' * (row[m]['agreement'] < 0)}" for m in metrics]
        lines.append("".join(f"| {cell} " for cell in [task, *cells]))
    return "\n".join(f"{line}|" for line in lines)


def _values(of_model, models, what):
    """Values [M] in the order of the models, which must have an order among themselves."""
    values = np.array([of_model[name] for name in models], float)
    if not np.all(np.isfinite(values)):
        raise UserError(f"{what} are not all finite numbers.")
    # SciPy would answer NaN with a warning.
    if np.ptp(values) == 0:
        raise UserError(f"{what} are all {values[0]:g}: they order no models.")
    return values
