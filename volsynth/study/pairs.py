"""Choosing the two models that a judge compares next (docs/study.md; equations of Knoche 2019)."""

import numpy as np

from volsynth.errors import UserError, did_you_mean

RULES = ("uniform", "weighted", "largest")
"""Rules for choosing the next pair.

"uniform" draws from all pairs alike, "weighted" in proportion to `possible_change`, and "largest"
takes a pair whose possible change is largest.
"""

UNPLAYED = 1.0
"""The possible change of a pair that was never played: its share may become anything.

No played pair has more than half of it, so that "largest" plays every pair once before any twice.
"""


def possible_change(counts: np.ndarray) -> np.ndarray:
    """Computes by how much one game can change the share of points between two models.

    Equation 5.18, the larger of its two directions. With n = C_ij + C_ji it is
    (C_ij + 1) / (n + 1) - C_ij / n = C_ji / (n (n + 1)).

    Args:
      counts: points that model i took from model j, [..., M, M].

    Returns:
      The change, [..., M, M], symmetric, 0 on the diagonal, `UNPLAYED` where n is 0.
    """
    other = np.swapaxes(counts, -1, -2)
    games = counts + other
    change = np.divide(
        np.maximum(counts, other),
        games * (games + 1),
        out=np.full(games.shape, UNPLAYED),
        where=games > 0,
    )
    # The diagonal has no games, and would else count as a pair that was never played.
    return change * (1 - np.eye(games.shape[-1]))


def select(
    counts: np.ndarray, rule: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses the next two models to compare, in one study or in many at once.

    Args:
      counts: points that model i took from model j, [..., M, M].
      rule: one of `RULES`.
      rng: draws among pairs; the same state gives the same pairs.

    Returns:
      The numbers of the two models, the smaller first, int [...] each.

    Raises:
      UserError: the rule is unknown, or there are fewer than two models.
    """
    counts = np.asarray(counts, float)
    if rule not in RULES:
        raise UserError(f"Unknown rule of selection {rule!r}: {did_you_mean(rule, RULES)}")
    if counts.shape[-1] < 2:
        raise UserError(f"A game needs two models, got {counts.shape[-1]}.")
    first, second = np.triu_indices(counts.shape[-1], 1)
    if rule == "uniform":
        chosen = rng.integers(len(first), size=counts.shape[:-2])
    else:
        change = possible_change(counts)[..., first, second]
        if rule == "weighted":
            # By the cumulative sums, since `rng.choice` takes one distribution and not many.
            total = np.cumsum(change, axis=-1)
            drawn = rng.random(change.shape[:-1])[..., None] * total[..., -1:]
            chosen = np.sum(total <= drawn, axis=-1)
        else:
            # Of several largest ones the first would favour models with small numbers.
            lot = rng.random(change.shape)
            is_largest = change == change.max(-1, keepdims=True)
            chosen = np.argmax(np.where(is_largest, lot, -1), axis=-1)
    return first[chosen], second[chosen]
