"""An experiment on how often intervals of ratings hold the truth.

Studies by judges of known taste are simulated; docs/study.md has the table.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import expit

from volsynth.errors import UserError
from volsynth.study import pairs, questions, ratings, resampling

CASES = (
    (1, 12, 0.5),
    (1, 30, 0.5),
    (1, 200, 0.5),
    (1, 30, 1.5),
    (1, 200, 1.5),
    (2, 30, 0.5),
    (3, 30, 0.5),
    (6, 30, 0.5),
    (6, 30, 1.5),
    (6, 200, 0.5),
    (10, 30, 0.5),
)
"""The simulated cases: judges, games of each judge, standard deviation of methods' strengths."""

JUDGE_SPREAD = 0.4
"""The spread of judges: standard deviation of a judge's strengths about those of all judges."""

TIE = 0.3
"""The difference between two pictures below which a judge calls them equally good."""

# Nodes of Gauss-Hermite quadrature: the integrand is smooth, and more change no digit.
_QUADRATURE = 21


def measure(
    prior: float, runs: int = 300, models: int = 4, resamples: int = 300, seed: int = 0
) -> list[dict[str, Any]]:
    """Measures the coverage of 95 % intervals, made as in a report, in each of `CASES`.

    Pairs are chosen as the page chooses them, for every judge alone. With one judge the truth is
    that judge's; with several it is that of all the judges who might have been asked.

    Args:
      prior: the number of tied games that are added to every pair.
      runs: the number of studies of each case.
      models: the number of methods in each study.
      resamples: the number of resamples of the bootstrap.
      seed: the seed of everything.

    Returns:
      For each case {"judges", "games", "spread", "covered": share of the intervals that hold the
      truth, "standard_error": of that share, "width": the median, "given": share of the methods
      with an interval, "error": mean absolute error of the ratings}.

    Raises:
      UserError: there are fewer than 2 runs or models, or the prior is not above 0.
    """
    if not 0 < prior < np.inf:
        raise UserError(f"--prior must be above 0, got {prior}.")
    for name, value in (("runs", runs), ("models", models)):
        if value < 2:
            raise UserError(f"--{name} must be at least 2, got {value}.")
    return [
        _case(judges, games, spread, prior, runs, models, resamples, seed)
        for judges, games, spread in CASES
    ]


def _case(judges, games, spread, prior, runs, models, resamples, seed):
    """One row of the result of `measure`."""
    # Each case has the seed anew, so that it does not depend on those before it.
    rng = np.random.default_rng(seed)
    names = [str(i) for i in range(models)]
    inside, widths, errors = [], [], []
    for run in range(runs):
        strengths = spread * rng.standard_normal(models)
        # One judge tells nothing of others, so that only that judge's own truth can be covered.
        differ = JUDGE_SPREAD if judges > 1 else 0.0
        played = simulate_games(
            strengths + differ * rng.standard_normal((judges, models)), games, rng
        )
        options = {"resamples": resamples, "seed": run, "prior": prior}
        counts = np.stack([ratings.count(each, names) for each in played])
        rated = ratings.fit(counts.sum(0), prior=prior)
        if judges > 1:
            found = resampling.over_judges(counts, names, **options)
        else:
            found = resampling.over_games(played[0], names, **options)
        truth = true_ratings(strengths, differ)
        errors.append(np.abs(rated - truth))
        # A method without an interval is neither covered nor missed.
        given = ~np.isnan(found.low)
        widths.append(np.where(given, found.high - found.low, np.nan))
        inside.append(np.where(given, (found.low <= truth) & (truth <= found.high), np.nan))
    held = np.array(inside)
    of_runs = np.nanmean(held[~np.all(np.isnan(held), axis=1)], axis=1)
    return {
        "judges": judges,
        "games": games,
        "spread": spread,
        "covered": float(np.nanmean(held)),
        # Over runs and not over methods: the intervals of one run are not independent.
        "standard_error": float(of_runs.std(ddof=1) / np.sqrt(len(of_runs))),
        "width": float(np.nanmedian(widths)),
        "given": float(np.sum(~np.isnan(held)) / (runs * models)),
        "error": float(np.mean(errors)),
    }


def simulate_games(
    strengths: np.ndarray, games: int, rng: np.random.Generator, tie: float = TIE
) -> list[list[ratings.Game]]:
    """Simulates the games of several judges.

    Args:
      strengths: strengths of the methods to each judge, [judges, M].
      games: the number of games of each judge.
      rng: draws pairs and decisions.
      tie: the difference below which a game is tied.

    Returns:
      The games of each judge.
    """
    judges, models = strengths.shape
    counts = np.zeros((judges, models, models))
    played: list[list[ratings.Game]] = [[] for _ in range(judges)]
    judge = np.arange(judges)
    for _ in range(games):
        first, second = pairs.select(counts, questions.RULE, rng)
        # The difference of two strengths plus logistic noise is positive with the probability of
        # equation 5.8.
        ahead = strengths[judge, first] - strengths[judge, second] + rng.logistic(size=judges)
        points = np.where(np.abs(ahead) < tie, 0.5, (ahead > 0).astype(float))
        counts[judge, first, second] += points
        counts[judge, second, first] += 1 - points
        for row, *game in zip(played, first, second, points):
            row.append(ratings.Game(str(game[0]), str(game[1]), float(game[2])))
    return played


def true_ratings(strengths: np.ndarray, differ: float, tie: float = TIE) -> np.ndarray:
    """Computes the ratings [M] after infinitely many games of infinitely many judges.

    Args:
      strengths: mean strengths of the methods over judges, [M].
      differ: standard deviation of a judge's strengths about them.
      tie: the difference below which a game is tied.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_QUADRATURE)
    apart = strengths[:, None] - strengths[None, :]
    # Two methods' strengths differ between judges, so their difference does by sqrt(2) as much.
    apart = apart[..., None] + np.sqrt(2) * differ * nodes
    # Half a point of a tie is the mean of winning with the tie lost and with the tie won.
    share = (expit(apart - tie) + expit(apart + tie)) / 2 @ (weights / weights.sum())
    return ratings.fit(share * (1 - np.eye(len(strengths))))


def table(found: list[Mapping[str, Any]]) -> str:
    """The result of `measure` as a table in Markdown."""
    lines = [
        "| judges | games each | sd of strengths | covered | width | given | error of ratings |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found:
        lines.append(
            f"| {row['judges']} | {row['games']} | {row['spread']} | {row['covered']:.1%} ± "
            f"{row['standard_error']:.1%} | {row['width']:.2f} | {row['given']:.0%} | "
            f"{row['error']:.3f} |"
        )
    return "\n".join(lines)
