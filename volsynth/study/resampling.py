"""Confidence intervals of ratings, by a bootstrap over judges or over games.

A rating's standard error is its standard deviation over resamples, enlarged by sqrt(n / (n - 1))
for n judges, or games: resamples vary about the sample, which is nearer to its own members than to
those who were not asked. The interval reaches from the rating by Student's t times that to both
sides. Quantiles of resamples lack both corrections, and hold the truth too seldom where judges are
few (docs/study.md).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from volsynth.errors import UserError
from volsynth.study import ratings

# Rounding leaves a tiny standard error where resamples do not differ at all.
_LEAST_ERROR = 1e-9


class Intervals(NamedTuple):
    """Confidence intervals of the ratings of M models.

    Attributes:
      low: Lower ends, [M]; NaN where there is no ground for an interval.
      high: Upper ends, [M]; NaN likewise.
      left_out: The number of resamples without ratings: models in them were never compared, or some
        took every point and there is no prior.
    """

    low: np.ndarray
    high: np.ndarray
    left_out: int


def over_games(
    games: Sequence[ratings.Game],
    models: Sequence[str],
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    weight: str = "pairs",
    prior: float = 0.0,
) -> Intervals:
    """Computes intervals of the ratings of `ratings.fit`, by a bootstrap over games.

    There is no interval if more than a share of 1 - `level` of the resamples have no ratings: those
    that have are no random choice. Nor is there one where resamples do not differ.

    Args:
      games: the games of one judge.
      models: names.
      level: the level of the intervals, between 0 and 1.
      resamples: the number of resamples of the games.
      seed: the seed of the resamples.
      weight: as in `ratings.fit`.
      prior: as in `ratings.fit`.

    Raises:
      UserError: as `ratings.count` and `ratings.fit`; the level or the number of resamples makes no
        sense.
    """
    _check(level, resamples)
    first, second, score = ratings.to_arrays(games, models)
    size = len(models)
    total = ratings.sum_points(first, second, score, size)
    rated = ratings.fit(total, models, weight=weight, prior=prior)
    rng = np.random.default_rng(seed)
    drawn = np.empty((resamples, size, size))
    for row in drawn:
        chosen = rng.integers(len(score), size=len(score))
        row[:] = ratings.sum_points(first[chosen], second[chosen], score[chosen], size)
    return _around(rated, drawn, len(score), level, weight, prior)


def over_judges(
    counts: np.ndarray,
    models: Sequence[str],
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    weight: str = "pairs",
    prior: float = 0.0,
) -> Intervals:
    """Computes intervals as `over_games`, by a bootstrap over judges, each with all of their games.

    Args:
      counts: points of two or more judges, [J, M, M]. The ratings are those of their sum.
      models: names.
      level: the level of the intervals, between 0 and 1.
      resamples: the number of resamples of the judges.
      seed: the seed of the resamples.
      weight: as in `ratings.fit`.
      prior: as in `ratings.fit`.

    Raises:
      UserError: as `over_games`, or there is one judge.
    """
    _check(level, resamples)
    judges = len(counts)
    if judges < 2:
        raise UserError(f"Intervals over judges need two or more, got {judges}.")
    rated = ratings.fit(counts.sum(0), models, weight=weight, prior=prior)
    rng = np.random.default_rng(seed)
    # How often each judge is drawn says it all: the points of a resample are a weighted sum.
    times = rng.multinomial(judges, np.full(judges, 1 / judges), resamples)
    drawn = np.einsum("rj,jab->rab", times.astype(float), counts)
    return _around(rated, drawn, judges, level, weight, prior)


def _check(level, resamples):
    if not 0 < level < 1:
        raise UserError(f"The level of an interval must lie between 0 and 1, got {level}.")
    if resamples < 1:
        raise UserError(f"Resamples must be at least 1, got {resamples}.")


def _around(rated, drawn, units, level, weight, prior):
    """Intervals about ratings [M] from counts [R, M, M] of resamples of `units` judges or games."""
    usable = ratings.has_ratings(ratings.with_prior(drawn, prior))
    left_out = int(np.sum(~usable))
    nowhere = np.full(rated.shape, np.nan)
    # Of one unit all resamples are the same; Student's t would have no degree of freedom.
    if units < 2 or left_out > (1 - level) * len(drawn):
        return Intervals(nowhere, nowhere, left_out)
    spread = ratings.fit(drawn[usable], weight=weight, prior=prior).std(axis=0)
    error = spread * np.sqrt(units / (units - 1))
    error = np.where(error > _LEAST_ERROR, error, np.nan)
    reach = stats.t.ppf((1 + level) / 2, units - 1) * error
    return Intervals(rated - reach, rated + reach, left_out)
