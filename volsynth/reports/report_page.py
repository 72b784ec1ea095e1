"""One page about a run, or about several beside one another, that needs nothing but itself.

Everything is in the file: pictures as data URIs, no script, nothing from another address.
"""

import base64
import datetime
import html
import io
import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from volsynth import files
from volsynth.errors import UserError
from volsynth.reports import compare, history, plots
from volsynth.results import result_files
from volsynth.train import run_log, run_record

SAMPLES = 8
"""The most sample pictures of a run; first and last are among them."""

RUN_WIDE = (
    "images_per_second",
    "share_waiting_for_data",
    "process_bytes",
    "device_peak_bytes",
)
"""Metrics that are no player's, where a run has them, in this order."""

# Of a player, after its losses. `skipped_in_a_row` tells nothing that `skipped` does not.
_LAST_OF_A_PLAYER = ("gradient_norm", "loss_scale", "skipped")
_HIDDEN = ("skipped_in_a_row",)
# The values of a config that tell most runs apart.
_MAIN = (
    "train.batch_size",
    "precision",
    "model.depth",
    "optim.generator.learning_rate",
    "optim.estimator.learning_rate",
)
# Of the gallery of results that do not say: those of earlier versions.
_COLUMNS = ("source", "target pose", "generated", "truth")
# Runs that differ in more than a few words go by the names of their folders.
_LONGEST_LABEL = 40
# Pictures wider than this are made smaller: a page holds many of them.
_WIDEST = 1200


def read(workdir: pathlib.Path) -> dict[str, Any]:
    """What `rundir.read` returns, and what a page shows besides.

    Returns:
      Also "results" {split: results}, "samples" [(step, file)] and "seen", when the run last wrote
      a line, in seconds since the epoch, None if it never did.

    Raises:
      UserError: it holds no run, or a file in it cannot be read.
    """
    run = history.read(workdir)
    times = [value for _, value in plots.values(run["log"], "time")]
    metrics = workdir / run_log.METRICS
    # Rows of older runs have no time.
    seen = times[-1] if times else metrics.stat().st_mtime if metrics.exists() else None
    found = {split: result_files.results(workdir, split) for split in result_files.splits(workdir)}
    return {**run, "results": found, "samples": history.samples(workdir), "seen": seen}


def write(runs: Sequence[Mapping[str, Any]], path: pathlib.Path) -> None:
    """Writes the page of runs that `read` returned.

    Raises:
      UserError: the file cannot be written.
    """
    text = page(runs, now=time.time())
    try:
        files.write_text(path, text)
    except OSError as error:
        raise UserError(f"cannot write the report to {path}: {error.strerror}.") from error


def draw(runs: Sequence[Mapping[str, Any]], path: pathlib.Path) -> None:
    """Writes the curves alone, as a picture.

    Raises:
      UserError: nothing was logged, or the file cannot be written.
    """
    logs = [run["log"] for run in runs]
    keys, _ = _drawn(logs)
    plots.save(plots.figure(logs, _compared(runs)[0], keys, raw=True), path)


def page(runs: Sequence[Mapping[str, Any]], now: float) -> str:
    """The page, as HTML.

    Args:
      runs: what `read` returned for each.
      now: the time of the report, in seconds since the epoch.
    """
    (labels, differing), several = _compared(runs), len(runs) > 1
    names = [pathlib.Path(run["workdir"]).resolve().name for run in runs]
    systems = sorted({str(run["config"].get("system", "run")) for run in runs})
    title = f"{', '.join(systems)}: {', '.join(names)}"
    parts = [f"<h1>{_text(title)}</h1>", _facts(runs, labels, differing, now)]
    parts += ["<h2>Curves</h2>", _curves([run["log"] for run in runs], labels)]
    for run, label in zip(runs, labels):
        of = f": {_text(label)}" if several else ""
        parts += [f"<h2>Samples over time{of}</h2>", _samples(run)]
        for split, results in run["results"].items():
            heading = f"Scores on {split}, step {results['step']:,}"
            parts += [f"<h2>{_text(heading)}{of}</h2>", _scores(run, split, results)]
        parts.append(_folded(f"Config{': ' + label if several else ''}", run["config"]))
    return _PAGE.format(
        title=_text(title), style=_STYLE, body="\n".join(parts), made=_text(_date(now))
    )


def _compared(runs):
    """What tells the runs apart, as in `compare`: their labels, and the keys that differ."""
    # Scores and protocols are not what it takes.
    rows = compare.compare([{**run, "results": None} for run in runs])["runs"]
    labels = [row["label"] for row in rows]
    if max(map(len, labels)) > _LONGEST_LABEL:
        labels = [pathlib.Path(run["workdir"]).resolve().name for run in runs]
    if len(set(labels)) < len(labels):
        labels = [run["workdir"] for run in runs]
    return labels, list(rows[0]["differs"])


# --- facts ---------------------------------------------------------------------------------------


def _facts(runs, labels, differing, now):
    columns = [_facts_of(run, differing, now) for run in runs]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [[_text(name)] + [_text(column.get(name, "–")) for column in columns] for name in names]
    heads = [""] + [_text(label) for label in labels] if len(runs) > 1 else None
    return _table(heads, rows, "facts")


def _facts_of(run, differing, now):
    """{name: text} of a run; of its config the main values, and those in which runs differ."""
    log, config = run["log"], run_record.flatten(run["config"])
    facts = {"state": _state(run, now), "last line": _seen(run, now)}
    facts |= {"folder": run["workdir"], "seed": str(config.get("seed", "–"))}
    facts["data"] = "/".join(str(config.get(f"data.{key}", "–")) for key in ("name", "config"))
    keys = dict.fromkeys((*_MAIN, *differing))
    facts |= {key: _value(config[key]) for key in keys if key in config}
    facts["commit"], facts["device"] = "not recorded", "not recorded"
    if run["starts"]:
        start = run["starts"][-1]
        facts["commit"] = start.get("commit") or f"none; version {start.get('version')}"
        facts["device"] = f"{start.get('devices')} × {start.get('device')}"
        since = ", ".join(f"{row['step']:,}" for row in run["starts"][1:])
        facts["started"] = f"{len(run['starts'])} times" if since else "once"
        facts["started"] += f", again from step {since}" if since else ""
    if log:
        facts["updates skipped"] = f"{_of_players(log, 'skipped'):.0f}"
        # Of its last tenth: the first lines have the time of compiling in them.
        recent = [row.get("images_per_second") for row in log[-max(len(log) // 10, 1) :]]
        recent = sorted(value for value in recent if value is not None)
        if recent:
            facts["speed"] = f"{recent[len(recent) // 2]:.3g} images/s lately"
        lost = sum(any(value is None for value in row.values()) for row in log)
        if lost:
            facts["lines with values that are not finite"] = f"{lost:,} of {len(log):,}"
    if run["damaged"]:
        facts["damaged lines left out"] = f"{run['damaged']:,}"
    return facts


def _state(run, now):
    last = history.last_step(run["config"])
    step = run["log"][-1]["step"] if run["log"] else 0
    if last is None:
        return f"step {step:,}"
    return f"step {step:,} of {last:,}, {'finished' if step >= last else 'not finished'}"


def _seen(run, now):
    if run["seen"] is None:
        return "none yet"
    return f"{_date(run['seen'])}, {_ago(now - run['seen'])} before this report"


def _of_players(log, name):
    found = [plots.values(log, key) for key in plots.keys_of([log], name)]
    return sum(values[-1][1] for values in found if values)


def _date(seconds):
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):  # A time that no calendar has.
        return "at an unknown time"
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _ago(seconds):
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"


def _value(value):
    return f"{value:.10g}" if isinstance(value, float) else str(value)


# --- curves --------------------------------------------------------------------------------------


def _drawn(logs):
    """The keys worth a panel, and {key: value} of those that never change in any run."""
    logged = {key for log in logs for row in log for key in row}
    players = sorted(key for key in logged if "/" in key and key.split("/")[-1] not in _HIDDEN)
    order = [*sorted(players, key=_place), *(key for key in RUN_WIDE if key in logged)]
    drawn, constant = [], {}
    for key in order:
        found = {value for log in logs for _, value in plots.values(log, key)}
        rows = sum(key in row for log in logs for row in log)
        # One value of one row is not a constant yet.
        if len(found) == 1 and rows > 1:
            constant[key] = found.pop()
        elif found:
            drawn.append(key)
    return drawn, constant


def _place(key):
    """Player by player; of each the loss, its terms, then what is no loss."""
    player, name = key.rsplit("/", 1)
    late = _LAST_OF_A_PLAYER.index(name) + 1 if name in _LAST_OF_A_PLAYER else 0
    return player, late, name != "loss", name


def _curves(logs, labels):
    keys, constant = _drawn(logs)
    if not keys:
        return "<p>Nothing has been logged yet.</p>"
    light, dark = (_png_of(plots.figure(logs, labels, keys, True, d)) for d in (False, True))
    spans = []
    for key in keys:
        for log, label in zip(logs, labels):
            found = plots.values(log, key)
            if found:
                of = f" ({label})" if len(logs) > 1 else ""
                spans.append(f"{key}{of} from {found[0][1]:.3g} to {found[-1][1]:.3g}")
    alt = "Curves over the steps: " + "; ".join(spans)
    rest = "; ".join(f"{key} is {value:g}" for key, value in constant.items())
    note = f" Not drawn, as it never changed: {rest}." if rest else ""
    return (
        '<figure><picture><source media="(prefers-color-scheme: dark)" '
        f'srcset="{dark}"><img src="{light}" alt="{_text(alt)}"></picture>'
        "<figcaption>Faint: as logged, each point a single batch. Strong: its running mean."
        f"{_text(note)}</figcaption></figure>"
    )


def _png_of(drawn):
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=150)
    return _uri(buffer.getvalue())


# --- pictures and scores -------------------------------------------------------------------------


def _samples(run):
    found = run["samples"]
    if not found:
        return "<p>No samples yet.</p>"
    figures, lost = [], 0
    for step, path in _evenly(found, SAMPLES):
        uri = _picture(path)
        if uri is None:
            lost += 1
            continue
        alt = f"Sample pictures at step {step}"
        figures.append(
            f'<figure><img src="{uri}" alt="{alt}"><figcaption>step {step:,}</figcaption></figure>'
        )
    note = f"<p>{lost} pictures cannot be read.</p>" if lost else ""
    return f'<div class="samples">{"".join(figures)}</div>{note}'


def _evenly(found, count):
    """At most `count` of a list, evenly chosen, the first and the last among them."""
    if len(found) <= count:
        return found
    return [found[round(i * (len(found) - 1) / (count - 1))] for i in range(count)]


def _picture(path):
    """A picture file as a data URI, None if it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if small.width > _WIDEST:
        height = max(round(small.height * _WIDEST / small.width), 1)
        small = small.resize((_WIDEST, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, format="PNG", optimize=True)
    return _uri(buffer.getvalue())


def _uri(png):
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _scores(run, split, results):
    rows = result_files.rows(results)
    names = list(dict.fromkeys(name for values in rows.values() for name in values))
    cells = [
        [_text(name.replace("_", " "))] + [result_files.cell(values.get(n)) for n in names]
        for name, values in rows.items()
    ]
    heads = [""] + [_text(name.replace("_", " ")) for name in names]
    parts = [_table(heads, cells, "scores")]
    gallery = pathlib.Path(run["workdir"]) / f"evaluate-{split}" / "gallery.png"
    uri = _picture(gallery) if gallery.exists() else None
    if uri:
        alt = f"Gallery of {split}: {', '.join(results.get('columns', _COLUMNS))}"
        parts.append(f'<figure><img src="{uri}" alt="{_text(alt)}"></figure>')
    return "".join(parts) + _folded("Protocol", results["protocol"])


# --- HTML ----------------------------------------------------------------------------------------


def _text(text):
    return html.escape(str(text))


def _table(heads, rows, kind):
    """A table of cells that are HTML already; the first of a row is its heading."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in heads or ())
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{c}</td>" for c in row[1:]) + "</tr>"
        for row in rows
    )
    start = f"<thead><tr>{head}</tr></thead>" if heads else ""
    return f'<div class="wide"><table class="{kind}">{start}<tbody>{body}</tbody></table></div>'


def _folded(title, value):
    shown = json.dumps(value, indent=2, ensure_ascii=False)
    return f"<details><summary>{_text(title)}</summary><pre>{_text(shown)}</pre></details>"


_STYLE = """
:root { color-scheme: light dark; --ink: #24272e; --faint: #646a75; --page: #fff; --line: #dfe2e7; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #d6d9de; --faint: #9aa1ad; --page: #16181d; --line: #33373f; }
}
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 3rem; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.6rem; font-weight: 600; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.1rem; font-weight: 600; margin: 2.25rem 0 .75rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem 1.5rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-weight: 400; color: var(--faint); }
.scores td, .scores th:not(:first-child) { text-align: right; }
.facts td { overflow-wrap: anywhere; }
figure { margin: 0 0 1rem; }
figcaption { color: var(--faint); font-size: .85rem; }
img { display: block; max-width: 100%; height: auto; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(30rem, 100%), 1fr));
  gap: 1rem 1.5rem; }
.samples figure { margin: 0; }
.samples img { width: 100%; }
details { margin: 1.25rem 0; }
summary { cursor: pointer; font-weight: 600; }
pre { font: 12.5px/1.45 ui-monospace, Menlo, Consolas, monospace; overflow-x: auto; }
footer { margin-top: 2.5rem; color: var(--faint); font-size: .85rem; }
"""

# The policy keeps even a value that was taken for HTML from asking anyone for anything.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
<footer>Made by volsynth report, {made}.</footer>
</body>
</html>
"""
