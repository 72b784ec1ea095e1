"""Ratings of models from games: a game is one person's decision between two models' pictures.

Ratings are in units in which sigma(r_i - r_j) is the probability that model i wins against model j
(Bradley and Terry, or Elo). Equation numbers are those of Knoche 2019 (docs/study.md).
Arrays of counts are [..., M, M]: C[i, j] is how many points model i took from model j, 1 for a win
and 0.5 for a tie.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from volsynth.errors import UserError, did_you_mean

SCORES = (0.0, 0.5, 1.0)
"""The scores that the first model of a game may have: it lost, tied, or won."""

WEIGHTS = ("pairs", "games")
"""Ways to weight the regression: every pair that was played counts the same, or every game does."""

_POINTS = 400 / np.log(10)
# The largest slope at which Newton's method stops, relative to the sum of weights.
_TOLERANCE = 1e-10
# Lopsided counts take about two dozen steps, which are shortened then; many more are a mistake.
_STEPS = 1000


class Game(NamedTuple):
    """One decision between two models.

    Attributes:
      first: Name of a model.
      second: Name of another model.
      score: The first model's score, one of `SCORES`.
    """

    first: str
    second: str
    score: float


def count(games: Sequence[Game], models: Sequence[str]) -> np.ndarray:
    """Counts the points of every model against every other, [M, M], in the order of `models`.

    Raises:
      UserError: a game has an unknown model, one model twice, or a score that is none.
    """
    return sum_points(*to_arrays(games, models), len(models))


def win_probabilities(ratings: np.ndarray) -> np.ndarray:
    """Probabilities that model i wins against model j, [..., M, M], of ratings [..., M] (5.8)."""
    return expit(ratings[..., :, None] - ratings[..., None, :])


def loss(ratings: np.ndarray, counts: np.ndarray, weight: str = "pairs") -> np.ndarray:
    """Binary cross-entropy between ratings and the pairs that were played, [...] (5.10)."""
    share, weights = _targets(counts, weight)
    difference = ratings[..., :, None] - ratings[..., None, :]
    # -ln sigma(x) = ln(1 + exp(-x)), without overflow.
    terms = share * np.logaddexp(0, -difference) + (1 - share) * np.logaddexp(0, difference)
    return np.sum(weights * terms, axis=(-2, -1))


def gradient(ratings: np.ndarray, counts: np.ndarray, weight: str = "pairs") -> np.ndarray:
    """Gradient of `loss` with respect to the ratings, [..., M] (5.16)."""
    share, weights = _targets(counts, weight)
    # Twice, since the loss sums over (i, j) and (j, i).
    return 2 * np.sum(weights * (win_probabilities(ratings) - share), axis=-1)


def has_ratings(counts: np.ndarray) -> np.ndarray:
    """Tells whether `loss` has a minimum at finite ratings, bool [...].

    It has one where every model reaches every other along points that models took from one another:
    then no model, and no group, took all points from the rest (Ford 1957).
    """
    return np.all(_reach(counts > 0), axis=(-2, -1))


def with_prior(counts: np.ndarray, prior: float) -> np.ndarray:
    """Adds `prior` tied games to every pair of counts [..., M, M] that was played."""
    # Half a point to each side. Pairs never played get none, for a prior must not hide that models
    # were not compared.
    return counts + prior / 2 * (counts + counts.swapaxes(-1, -2) > 0)


def fit(
    counts: np.ndarray,
    models: Sequence[str] | None = None,
    *,
    weight: str = "pairs",
    prior: float = 0.0,
) -> np.ndarray:
    """Finds the ratings that minimise `loss`, by Newton's method; their mean is 0.

    Args:
      counts: points of one study or of many at once, [..., M, M].
      models: names for error messages; by default their numbers.
      weight: one of `WEIGHTS`. Knoche 2019 counts every pair once, however often it was played;
        counting every game once is maximum likelihood.
      prior: tied games to add to every pair that was played. Above 0, a model that won or lost all
        its games has a finite rating, too.

    Returns:
      Ratings [..., M], float64.

    Raises:
      UserError: the counts are none, nobody played, some models were never compared with the
        others, not even through third ones, or a group took every point from the rest.
    """
    counts = _checked(counts, models, weight, prior)
    counts = with_prior(counts, prior)
    for study in counts.reshape(-1, *counts.shape[-2:])[~has_ratings(counts).ravel()][:1]:
        raise UserError(_why_not(study, range(len(study)) if models is None else models))
    return _minimise(counts, weight)


def sequential(games: Sequence[Game], models: Sequence[str], k: float = 10 / _POINTS) -> np.ndarray:
    """Computes ratings by Elo's own update after every game (equations 5.5 and 5.7).

    This naive form depends on the order of the games and never settles; `fit` does neither.

    Args:
      games: in the order in which they were played.
      models: names.
      k: how much one game can change a rating; by default that of chess's top players, 10 points.

    Returns:
      Ratings before the first game and after every one, [N + 1, M].

    Raises:
      UserError: as `count`.
    """
    history = np.zeros((len(games) + 1, len(models)))
    for n, (i, j, score) in enumerate(zip(*to_arrays(games, models))):
        change = k * (score - expit(history[n, i] - history[n, j]))
        history[n + 1] = history[n]
        history[n + 1, i] += change
        history[n + 1, j] -= change
    return history


def to_points(ratings: np.ndarray, start: float = 400.0) -> np.ndarray:
    """Converts ratings to points of chess, of which 400 are a factor of ten in the odds (5.4)."""
    return start + _POINTS * ratings


def to_arrays(
    games: Sequence[Game], models: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Converts games to arrays [N]: numbers of the first and the second model, the first's score.

    Raises:
      UserError: as `count`.
    """
    number = {name: i for i, name in enumerate(models)}
    if len(number) < len(models):
        raise UserError(f"A model is named twice: {', '.join(models)}.")
    for game in games:
        for name in game[:2]:
            if name not in number:
                raise UserError(
                    f"A game has the unknown model {name!r}: {did_you_mean(name, number)}"
                )
        if game[0] == game[1]:
            raise UserError(f"A game has {game[0]!r} twice: a game is between two models.")
        if game[2] not in SCORES:
            raise UserError(
                f"A game of {game[0]!r} and {game[1]!r} has the score {game[2]}. "
                "Allowed: 1 (the first won), 0.5 (a tie), 0 (the second won)."
            )
    first = np.array([number[game[0]] for game in games], int)
    second = np.array([number[game[1]] for game in games], int)
    return first, second, np.array([game[2] for game in games], float)


def sum_points(first: np.ndarray, second: np.ndarray, score: np.ndarray, size: int) -> np.ndarray:
    """Adds up the points [size, size] of games that `to_arrays` converted."""
    # Far faster than adding to a matrix game by game, of which a bootstrap needs a thousand.
    cells = np.concatenate([first * size + second, second * size + first])
    points = np.concatenate([score, 1 - score])
    return np.bincount(cells, points, minlength=size * size).reshape(size, size)


def _checked(counts, models, weight, prior):
    counts = np.asarray(counts, float)
    if counts.ndim < 2 or counts.shape[-1] != counts.shape[-2] or counts.shape[-1] < 2:
        raise UserError(f"Counts must be [..., M, M] of at least two models, got {counts.shape}.")
    if not np.all(np.isfinite(counts)) or np.any(counts < 0):
        raise UserError("Counts must be finite, and at least 0.")
    if np.any(np.diagonal(counts, axis1=-2, axis2=-1)):
        raise UserError("Counts must be 0 on the diagonal: no model plays against itself.")
    if models is not None and len(models) != counts.shape[-1]:
        raise UserError(f"There are {len(models)} names for counts of {counts.shape[-1]} models.")
    if weight not in WEIGHTS:
        raise UserError(f"Unknown weight {weight!r}: {did_you_mean(weight, WEIGHTS)}")
    if not 0 <= prior < np.inf:
        raise UserError(f"A prior must be finite, and at least 0, got {prior}.")
    return counts


def _targets(counts, weight):
    """Shares of points p_ij, and how much each counts; a pair never played counts nothing."""
    played = counts + counts.swapaxes(-1, -2)
    # Any finite value does for pairs of no weight; NaN would pass through a product with 0.
    share = np.divide(counts, played, out=np.full_like(played, 0.5), where=played > 0)
    return share, played if weight == "games" else (played > 0).astype(float)


def _minimise(counts, weight):
    """Newton's method on many studies at once, each of which has finite ratings."""
    share, weights = _targets(counts, weight)
    size = counts.shape[-1]
    diagonal = np.arange(size)
    ratings = np.zeros(counts.shape[:-1])
    for _ in range(_STEPS):
        probabilities = win_probabilities(ratings)
        slope = np.sum(weights * (probabilities - share), axis=-1)
        if np.all(np.abs(slope) <= _TOLERANCE * np.sum(weights, axis=-1)):
            return ratings - ratings.mean(-1, keepdims=True)
        curvature = -weights * probabilities * (1 - probabilities)
        curvature[..., diagonal, diagonal] = -curvature.sum(-1)
        # A constant added to all ratings changes nothing, which makes the matrix singular. Adding
        # 1 / M makes it regular, and as the slopes sum to 0 (equation 5.17), so do the steps.
        step = np.linalg.solve(curvature + 1 / size, slope[..., None])[..., 0]
        # Whole steps can run away from where probabilities are extreme. The third derivative of the
        # loss is at most its second times this span, for which this length is safe.
        span = np.maximum(np.ptp(step, axis=-1, keepdims=True), 1e-12)
        ratings = ratings - step * np.log1p(span) / span
    raise ArithmeticError(f"Ratings did not converge in {_STEPS} steps of Newton's method.")


def _reach(edges):
    """The models that each model reaches along edges [..., M, M], itself included."""
    size = edges.shape[-1]
    reach = edges | np.eye(size, dtype=bool)
    for _ in range((size - 1).bit_length()):
        # Ways twice as long in every turn.
        reach = reach @ reach
    return reach


def _why_not(counts, models):
    """The message for counts [M, M] that have no finite ratings."""
    if not np.any(counts):
        return "There are no games: collect some before rating models."

    def names(members):
        return ", ".join(str(name) for name, member in zip(models, members) if member)

    connected = _reach(counts + counts.T > 0)
    if not np.all(connected[0]):
        return (
            f"{names(connected[0])} and {names(~connected[0])} were never compared, "
            "not even through a third model: collect games between them."
        )
    # Everybody was compared, so that somebody must have taken everything.
    taken = _reach(counts > 0)
    # A model that takes points, along some way, from all who take points from it.
    unbeaten = np.all(taken | ~taken.T, axis=1)
    top = taken[np.argmax(unbeaten)] & taken.T[np.argmax(unbeaten)]
    return (
        f"{names(top)} took every point in games with {names(~top)}, so ratings would be infinite: "
        "collect more games, or give a prior above 0."
    )
