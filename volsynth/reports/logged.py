"""The figures that runs log: which keys there are, what they mean, and their values.

Everything is read from the log. A key with a slash is PLAYER/NAME, whatever the players of a system
are called: PLAYER/loss is the total that the player minimises, a few names are the engine's
(`run_log.BOOKKEEPING`), and all others are terms of that loss. A key without a slash is of the
whole run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from volsynth.train import run_log

Log = Sequence[Mapping[str, Any]]
"""Rows {"step": int, key: float, or None where it was not finite}, steps ascending."""

RUN_WIDE = (
    "images_per_second",
    "share_waiting_for_data",
    "process_bytes",
    "device_peak_bytes",
)
"""Figures of the whole run that are worth a curve, in the order in which they are drawn."""

# `skipped_in_a_row` shows nothing that `skipped` does not.
_HIDDEN = ("skipped_in_a_row",)


def is_of_player(key: str) -> bool:
    """Whether a key is a player's, rather than one of the whole run."""
    return "/" in key


def split_key(key: str) -> tuple[str, str]:
    """The player and the name of a key PLAYER/NAME; no player for a key of the whole run."""
    # From the right: a player's name may have slashes of its own.
    player, _, name = key.rpartition("/")
    return player, name


def keys_of(logs: Sequence[Log], name: str) -> list[str]:
    """The logged keys with one name, such as "PLAYER/loss" of every player for "loss"."""
    return [key for key in _all_keys(logs) if split_key(key)[1] == name]


def loss_keys(logs: Sequence[Log]) -> list[str]:
    """The logged keys of the players' losses: first the totals, then the terms by their name."""
    keys = [key for key in _all_keys(logs) if is_of_player(key)]
    found = [key for key in keys if split_key(key)[1] not in run_log.BOOKKEEPING]
    return sorted(found, key=_totals_first)


def values(log: Log, key: str) -> list[tuple[int, float]]:
    """The finite values of a key in a log, [(step, value)]."""
    return [(row["step"], row[key]) for row in log if row.get(key) is not None]


def sum_of_last(log: Log, name: str) -> float:
    """The sum over the players of the last value of a counter, such as "skipped"."""
    # A counter is logged as its total so far, for each player on its own.
    found = [values(log, key) for key in keys_of([log], name)]
    return sum(of_key[-1][1] for of_key in found if of_key)


def drawn_keys(logs: Sequence[Log]) -> tuple[list[str], dict[str, float]]:
    """The keys whose curves are worth drawing.

    Returns:
      The keys, player by player and then those of the whole run; and {key: value} of keys that
      never change in any run, which need no curve.
    """
    known = _all_keys(logs)
    players = [key for key in known if is_of_player(key) and split_key(key)[1] not in _HIDDEN]
    order = [*sorted(players, key=_by_player), *(key for key in RUN_WIDE if key in known)]
    drawn, constant = [], {}
    for key in order:
        # Over all runs: a key that is constant in each of them, but differs, is worth a panel.
        found = {value for log in logs for _, value in values(log, key)}
        rows = sum(key in row for log in logs for row in log)
        # A single value of a single row is not a constant yet.
        if len(found) == 1 and rows > 1:
            constant[key] = found.pop()
        elif found:
            drawn.append(key)
    return drawn, constant


def _all_keys(logs):
    return sorted({key for log in logs for row in log for key in row})


def _totals_first(key):
    player, name = split_key(key)
    return name != "loss", name, player


def _by_player(key):
    """The place of a player's key: its total, the terms of its loss, then the bookkeeping."""
    player, name = split_key(key)
    late = run_log.BOOKKEEPING.index(name) + 1 if name in run_log.BOOKKEEPING else 0
    return player, late, name != "loss", name
