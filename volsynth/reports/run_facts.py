"""The facts of a run at the top of its report: its state, its config's main values, its speed."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from flax.traverse_util import flatten_dict

from volsynth.config import last_step
from volsynth.reports import logged

# Values of a config that tell most runs apart, beside the learning rate of every player.
_MAIN = ("train.batch_size", "precision")
_LEARNING_RATE = ".learning_rate"


def run_facts(run: Mapping[str, Any], differing: Sequence[str], now: float) -> dict[str, str]:
    """Facts of a run for a reader.

    Args:
      run: what `report_page.read` returned.
      differing: keys of the config in which the runs of the report differ.
      now: time of the report, in seconds since the epoch.

    Returns:
      {name: text}, in the order in which they are shown.
    """
    config = flatten_dict(run["config"], sep=".")
    facts = {"state": _state(run), "last line": _last_line(run, now)}
    facts |= {"folder": run["workdir"], "seed": str(config.get("seed", "–"))}
    facts["data"] = "/".join(str(config.get(f"data.{key}", "–")) for key in ("name", "config"))
    rates = [key for key in config if key.startswith("optim.") and key.endswith(_LEARNING_RATE)]
    keys = dict.fromkeys((*_MAIN, *rates, *differing))
    facts |= {key: _value(config[key]) for key in keys if key in config}
    facts |= _start_facts(run["starts"])
    facts |= _log_facts(run["log"])
    if run["damaged"]:
        facts["damaged lines left out"] = f"{run['damaged']:,}"
    return facts


def date_text(seconds: float) -> str:
    """A time as date and time of day, UTC.

    Args:
      seconds: time in seconds since the epoch; it may be one that no calendar has.
    """
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return "at an unknown time"
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _state(run):
    last = last_step(run["config"])
    step = run["log"][-1]["step"] if run["log"] else 0
    if last is None:
        return f"step {step:,}"
    return f"step {step:,} of {last:,}, {'finished' if step >= last else 'not finished'}"


def _last_line(run, now):
    if run["seen"] is None:
        return "none yet"
    return f"{date_text(run['seen'])}, {_duration(now - run['seen'])} before this report"


def _duration(seconds):
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    # Never negative: the clocks of two machines may differ.
    return f"{max(seconds, 0):.0f} seconds"


def _start_facts(starts):
    if not starts:
        return {"commit": "not recorded", "device": "not recorded"}
    # The last start is the code that is at work, or was last.
    start = starts[-1]
    since = ", ".join(f"{row['step']:,}" for row in starts[1:])
    return {
        "commit": start.get("commit") or f"none; version {start.get('version')}",
        "device": f"{start.get('devices')} × {start.get('device')}",
        "started": f"{len(starts)} times, again from step {since}" if since else "once",
    }


def _log_facts(log):
    if not log:
        return {}
    facts = {"updates skipped": f"{logged.sum_of_last(log, 'skipped'):.0f}"}
    # The last tenth only: the first lines have the time of compiling in them.
    recent = [row.get("images_per_second") for row in log[-max(len(log) // 10, 1) :]]
    recent = sorted(value for value in recent if value is not None)
    if recent:
        # The median, which one slow line, as that of a sample, does not move.
        facts["speed"] = f"{recent[len(recent) // 2]:.3g} images/s lately"
    lost = sum(any(value is None for value in row.values()) for row in log)
    if lost:
        facts["lines with values that are not finite"] = f"{lost:,} of {len(log):,}"
    return facts


def _value(value):
    return f"{value:.10g}" if isinstance(value, float) else str(value)
