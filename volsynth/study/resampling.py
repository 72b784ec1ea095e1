"""How far ratings can be trusted: confidence intervals from resampled games, or resampled judges.

A rating's standard error is its standard deviation over resamples, enlarged by sqrt(n / (n - 1))
for n judges, or games: a resample varies about the sample, which is nearer to its own members than
to those who were not asked. The interval is the rating and Student's t times that to both sides.
Quantiles of resamples know neither, and of few judges hold the truth too seldom (docs/study.md).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from volsynth.errors import UserError
from volsynth.study import ratings

_NOTHING = 1e-9
"""Of a standard error: rounding."""


class Intervals(NamedTuple):
    """Confidence intervals.

    Attributes:
      low: [M]; NaN where there is no ground for an interval.
      high: [M], likewise.
      left_out: how many resamples have no ratings: methods in them were never compared, or some
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
    """Intervals of what `ratings.fit` returns, by a bootstrap over games.

    There is no interval if more than a share of 1 - `level` of the resamples have no ratings: those
    that have are a choice. Nor is there one where resamples do not differ.

    Raises:
      UserError: as `ratings.count` and `ratings.fit`; the level or the number of resamples makes no
        sense.
    """
    _check(level, resamples)
    first, second, score = ratings.indices(games, models)
    size = len(models)
    total = ratings.totals(first, second, score, size)
    rated = ratings.fit(total, models, weight=weight, prior=prior)
    rng = np.random.default_rng(seed)
    drawn = np.empty((resamples, size, size))
    for row in drawn:
        chosen = rng.integers(len(score), size=len(score))
        row[:] = ratings.totals(first[chosen], second[chosen], score[chosen], size)
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
    """The same by a bootstrap over judges, each with all of their games.

    Args:
      counts: of two or more judges, [J, M, M]. The ratings are those of their sum.
      models: names.
      level: of the intervals.
      resamples: of the judges.
      seed: of the resamples.
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
    times = rng.multinomial(judges, np.full(judges, 1 / judges), resamples)
    drawn = np.einsum("rj,jab->rab", times.astype(float), counts)
    return _around(rated, drawn, judges, level, weight, prior)


def _check(level, resamples):
    if not 0 < level < 1:
        raise UserError(f"The level of an interval must lie between 0 and 1, got {level}.")
    if resamples < 1:
        raise UserError(f"Resamples must be at least 1, got {resamples}.")


def _around(rated, drawn, units, level, weight, prior):
    """Intervals about ratings [M] from counts of resamples [R, M, M] of so many judges or games."""
    usable = ratings.has_ratings(ratings.with_prior(drawn, prior))
    left_out = int(np.sum(~usable))
    nowhere = np.full(rated.shape, np.nan)
    if units < 2 or left_out > (1 - level) * len(drawn):
        return Intervals(nowhere, nowhere, left_out)
    spread = ratings.fit(drawn[usable], weight=weight, prior=prior).std(axis=0)
    error = spread * np.sqrt(units / (units - 1))
    reach = stats.t.ppf((1 + level) / 2, units - 1) * np.where(error > _NOTHING, error, np.nan)
    return Intervals(rated - reach, rated + reach, left_out)
