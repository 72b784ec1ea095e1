"""An experiment on how fast ratings converge, by the rule that chooses pairs.

Studies of models with known strengths are simulated, as in section 5.3.3 of Knoche 2019;
docs/study.md has the table.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from volsynth.errors import UserError
from volsynth.study import pairs, ratings


def simulate_games(
    strengths: np.ndarray, games: int, rule: str, rng: np.random.Generator
) -> np.ndarray:
    """Simulates games, none of them tied, between models of known strengths.

    Args:
      strengths: strengths of the models in each run, in the units of ratings, [runs, M].
      games: the number of games of each run.
      rule: the rule of `pairs.select` that chooses pairs.
      rng: draws pairs and winners.

    Returns:
      Points that model i took from model j, [runs, M, M].
    """
    runs, size = strengths.shape
    probabilities = ratings.win_probabilities(strengths)
    counts = np.zeros((runs, size, size))
    run = np.arange(runs)
    for _ in range(games):
        first, second = pairs.select(counts, rule, rng)
        won = rng.random(runs) < probabilities[run, first, second]
        counts[run, np.where(won, first, second), np.where(won, second, first)] += 1
    return counts


def simulate(runs: int = 2000, models: int = 8, games: int = 200, seed: int = 0) -> dict[str, Any]:
    """Measures the mean absolute error of ratings, by rule and by way to weight.

    Strengths are standard normal, and the same for all rules. They are compared with ratings after
    shifting their mean to 0, where ratings have theirs: games tell nothing of it. Runs in which
    some rule leaves no finite ratings are left out for all rules, and counted.

    Args:
      runs: the number of studies.
      models: the number of models in each.
      games: the number of games in each.
      seed: the seed of strengths and games.

    Returns:
      {"runs", "models", "games", "seed", "left_out", "stretch": {weight: {rule: ...}}: the slope of
      ratings over strengths; "errors": {weight: {rule: {"ratings",
      "ratings_unshifted", "probabilities"}}}}, where each of the last three is {"mean",
      "standard_error", "decrease", "decrease_standard_error", "decrease_spread_of_50"}: the mean
      over runs, by what share it is lower than that of "uniform" in the same runs, and the standard
      deviation of that share in experiments of 50 runs.

    Raises:
      UserError: there are fewer than 2 models or runs, no games, or no run has finite ratings.
    """
    for name, value, least in (("runs", runs, 2), ("models", models, 2), ("games", games, 1)):
        if value < least:
            raise UserError(f"--{name} must be at least {least}, got {value}.")
    if seed < 0:
        raise UserError(f"--seed must be at least 0, got {seed}.")
    rng = np.random.default_rng(seed)
    strengths = rng.standard_normal((runs, models))
    counts = {rule: simulate_games(strengths, games, rule, rng) for rule in pairs.RULES}
    # Left out for all rules alike: a rule that leaves hard runs unrated would else look better.
    kept = np.all([ratings.has_ratings(c) for c in counts.values()], axis=0)
    if np.sum(kept) < 2:
        raise UserError(
            f"{np.sum(kept)} of {runs} runs have finite ratings after {games} games: "
            "give more --games or --runs."
        )
    strengths = strengths[kept]
    found = {
        weight: {rule: ratings.fit(c[kept], weight=weight) for rule, c in counts.items()}
        for weight in ratings.WEIGHTS
    }
    errors = {
        weight: {rule: _errors(r, strengths) for rule, r in of_rule.items()}
        for weight, of_rule in found.items()
    }
    return {
        "runs": runs,
        "models": models,
        "games": games,
        "seed": seed,
        "left_out": int(runs - np.sum(kept)),
        "stretch": {
            weight: {rule: _stretch(r, strengths) for rule, r in of_rule.items()}
            for weight, of_rule in found.items()
        },
        "errors": {
            weight: {
                rule: {name: _summary(e, of_rule["uniform"][name]) for name, e in of_name.items()}
                for rule, of_name in of_rule.items()
            }
            for weight, of_rule in errors.items()
        },
    }


def table(report: Mapping[str, Any]) -> str:
    """The result of `simulate` as a table in Markdown, with standard errors behind ±."""
    lines = [
        f"{report['runs'] - report['left_out']} studies of {report['models']} models and "
        f"{report['games']} games ({report['left_out']} without finite ratings left out)",
        "",
        "| counted alike | selection | error of ratings | lower by | sd of 50 studies "
        "| stretch | error of probabilities | lower by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for weight, of_rule in report["errors"].items():
        for rule, error in of_rule.items():
            of_ratings, of_wins = error["ratings"], error["probabilities"]
            cells = [
                *(weight, rule, _mean(of_ratings), _decrease(of_ratings)),
                f"{of_ratings['decrease_spread_of_50']:.1%}",
                f"{report['stretch'][weight][rule]:.2f}",
                *(_mean(of_wins), _decrease(of_wins)),
            ]
            lines.append("".join(f"| {cell} " for cell in cells) + "|")
    return "\n".join(lines)


def _mean(error):
    return f"{error['mean']:.4f} ± {error['standard_error']:.4f}"


def _decrease(error):
    return f"{error['decrease']:.1%} ± {error['decrease_standard_error']:.1%}"


def _errors(found, strengths):
    """Mean absolute errors [runs] of ratings, without and with a shift, and of probabilities."""
    shifted = strengths - strengths.mean(-1, keepdims=True)
    probabilities = [ratings.win_probabilities(r) for r in (found, strengths)]
    off_diagonal = ~np.eye(strengths.shape[-1], dtype=bool)
    return {
        "ratings": np.abs(found - shifted).mean(-1),
        "ratings_unshifted": np.abs(found - strengths).mean(-1),
        "probabilities": np.abs(probabilities[0] - probabilities[1])[:, off_diagonal].mean(-1),
    }


def _stretch(found, strengths):
    """The slope of ratings over strengths by least squares, above 1 where ratings exaggerate."""
    shifted = strengths - strengths.mean(-1, keepdims=True)
    return float(np.sum(found * shifted) / np.sum(shifted**2))


def _summary(error, uniform):
    """Figures of one rule from its errors in every run and those of uniform selection."""
    ratio = error.mean() / uniform.mean()
    # The standard deviation of a ratio of two means over the same runs, to first order.
    spread = np.std(error - ratio * uniform, ddof=1) / uniform.mean()
    return {
        "mean": float(error.mean()),
        "standard_error": float(error.std(ddof=1) / np.sqrt(len(error))),
        "decrease": float(1 - ratio),
        "decrease_standard_error": float(spread / np.sqrt(len(error))),
        "decrease_spread_of_50": float(spread / np.sqrt(50)),
    }
