"""Writing tables and plots of gathered results into a page, between marks."""

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from volsynth import files
from volsynth.errors import UserError, os_errors_explained
from volsynth.results.tables import markdown_table, score_cell, score_title

_MARK = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
"""The place in a page that belongs to the results of a name; what is between the marks is
replaced."""


def write(folder: pathlib.Path, page: pathlib.Path) -> tuple[list[pathlib.Path], list[str]]:
    """Fills every mark of a page, `<!-- results: NAME -->` to `<!-- end -->`, from `NAME.json`.

    A plot of each goes to `images/NAME.png` beside the page.

    Args:
      folder: the folder of the files of gathered results.
      page: the Markdown file.

    Returns:
      The files that were written; and the names of marks that were left as they are, because they
      have no file.

    Raises:
      UserError: the page cannot be read or has no mark, or a file has no gathered results.
    """
    with os_errors_explained("read the page", page):
        text = page.read_text()
    names = [match[2] for match in _MARK.finditer(text)]
    if not names:
        raise UserError(f"{page} has no mark `<!-- results: NAME -->` ... `<!-- end -->`.")
    missing = [name for name in names if not (folder / f"{name}.json").exists()]
    # All are read before anything is written: a damaged file leaves the page as it was.
    found = {n: _read(folder / f"{n}.json") for n in names if n not in missing}
    written = [page]
    for name, gathered in found.items():
        path = page.parent / "images" / f"{name}.png"
        plot(gathered, path)
        written.append(path)

    def filled(match: re.Match[str]) -> str:
        # A page may name results of a sweep that has not been run here.
        if match[2] in missing:
            return match[0]
        gathered = found[match[2]]
        picture = f"![{gathered['title']}](images/{match[2]}.png)"
        return f"{match[1]}\n{tables(gathered)}\n{picture}\n\n{match[3]}"

    with os_errors_explained("write the page", page):
        files.write_text(page, _MARK.sub(filled, text))
    return written, missing


def tables(gathered: Mapping[str, Any]) -> str:
    """Renders gathered results in Markdown.

    Args:
      gathered: the results, as `launch.sweeps.results.gather` returns them.

    Returns:
      The scores beside the published ones, the differences from the first group, the same in thirds
      of the pictures, and which runs these are.
    """
    published = gathered["published"]
    parts = [_score_table(gathered), _difference_table(gathered)]
    parts += [_thirds_table(gathered, fact) for fact in gathered.get("by", {})]
    note = [published["note"] + "\n"] if "note" in published else []
    return "\n".join([*(part for part in parts if part), *note, _origin(gathered)]) + "\n"


def _score_table(gathered: Mapping[str, Any]) -> str:
    """A row for each group and each baseline, a column for each score that is shown."""
    scores, shown = gathered["protocol"]["scores"], gathered["shown"]
    groups, published = gathered["groups"], gathered["published"]
    told = [name for name in shown if any(name in published.get(g, {}) for g in groups)]
    # Where all groups have the same steps and seeds, the line below the tables says them once.
    differ = len({tuple(found["steps"] + found["seeds"]) for found in groups.values()}) > 1
    heads = ["", *(["steps", "seeds"] if differ else []), "parameters", "MMAC"]
    heads = [*heads, *(score_title(name, scores) for name in shown)]
    source = published.get("of", "published")
    heads += [f"{source}: {name.replace('_', ' ')}" for name in told]
    lines = []
    for group, found in groups.items():
        cells = [group.replace("_", " ")]
        if differ:
            cells += [", ".join(map(str, found[key])) for key in ("steps", "seeds")]
        cells += [f"{found['params']:,}", f"{found['operations'] / 1e6:.0f}"]
        for name in shown:
            entry = found["scores"].get(name)
            cells.append(score_cell(entry["mean"], entry["interval"]) if entry else "-")
        lines.append([*cells, *(score_cell(published.get(group, {}).get(name)) for name in told)])
    for row, values in gathered["baselines"].items():
        cells = [score_cell(values.get(name)) for name in shown]
        # A baseline, such as the source unchanged, has neither steps nor parameters.
        empty = [""] * (4 if differ else 2)
        lines.append([row.replace("_", " "), *empty, *cells, *([""] * len(told))])
    return markdown_table(heads, lines)


def _difference_table(gathered: Mapping[str, Any]) -> str:
    """The differences from the first group; empty where there are none."""
    scores, shown = gathered["protocol"]["scores"], gathered["shown"]
    groups = gathered["groups"]
    first = next(iter(groups))
    lines = [
        [group.replace("_", " "), *(_difference(found["scores"].get(name, {})) for name in shown)]
        for group, found in groups.items()
        if group != first and any("difference" in found["scores"].get(n, {}) for n in shown)
    ]
    heads = [f"less {first.replace('_', ' ')}", *(score_title(n, scores) for n in shown)]
    return markdown_table(heads, lines) if lines else ""


def plot(gathered: Mapping[str, Any], path: pathlib.Path) -> None:
    """Plots one panel for each score: every group's mean with its interval, and each seed as a dot.

    Args:
      gathered: the results, as `launch.sweeps.results.gather` returns them.
      path: the PNG file that is written.
    """
    from matplotlib.figure import Figure

    # Late, with matplotlib: tables alone do not need it.
    from volsynth.reports import plots

    shown, groups = gathered["shown"], gathered["groups"]
    figure = Figure(figsize=(2.2 * len(shown) + 1.4, 0.42 * len(groups) + 1.3), dpi=120)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    places = range(len(groups))
    for panel, name in zip(panels, shown):
        for place, found in zip(places, groups.values()):
            entry = found["scores"].get(name)
            if entry is None or entry["mean"] is None:
                continue
            if entry["interval"]:
                panel.plot(entry["interval"], [place, place], color="#4477aa", lw=2)
            panel.plot(entry["seeds"], [place] * len(entry["seeds"]), "o", ms=3, color="#bbbbbb")
            # Last, so that the mean lies over the seeds.
            panel.plot([entry["mean"]], [place], "o", ms=6, color="#4477aa")
        panel.set_title(score_title(name, gathered["protocol"]["scores"]), fontsize=9)
        panel.tick_params(labelsize=8)
        panel.grid(axis="x", color="#e6e6e6")
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    panels[0].set_yticks(list(places), [group.replace("_", " ") for group in groups], fontsize=9)
    # The first group on top, as in the tables.
    panels[0].set_ylim(len(groups) - 0.5, -0.5)
    figure.tight_layout()
    plots.save(figure, path)


def _thirds_table(gathered: Mapping[str, Any], fact: str) -> str:
    """Differences in the first score, in the thirds of the pictures by a fact about them."""
    found = gathered["by"][fact]
    score, (low, high) = gathered["shown"][0], found["edges"]
    name, title = fact.replace("_", " "), score_title(score, gathered["protocol"]["scores"])
    first = next(iter(gathered["groups"])).replace("_", " ")
    heads = [f"{title} less {first}, by {name}"]
    heads += [f"below {low:.3g}", f"{low:.3g} to {high:.3g}", f"above {high:.3g}"]
    lines = [
        [group.replace("_", " "), *(_with_bounds(*third) for third in scores[score])]
        for group, scores in found["groups"].items()
        if score in scores
    ]
    return markdown_table(heads, lines) if lines else ""


def _origin(gathered: Mapping[str, Any]) -> str:
    """A line that says which runs these are, and how they were scored."""
    runs = gathered["runs"]
    commits = sorted({commit for run in runs for commit in run["commits"]})
    steps = sorted({run["steps"] for run in runs})
    seeds = sorted({run["seed"] for run in runs})
    protocol = gathered["protocol"]
    return (
        f"Runs: {len(runs)}, seeds {', '.join(map(str, seeds))}; "
        f"{' and '.join(f'{count:,}' for count in steps)} steps; commit {', '.join(commits)}; "
        f"{protocol['images']} pictures, {protocol['data']}, {protocol['split']}; protocol "
        f"{protocol['digest']}. ± is half the 95 % interval over persons, of the mean over seeds."
    )


def _difference(entry: Mapping[str, Any]) -> str:
    """A cell with the difference of a group's score, and its interval."""
    if entry.get("difference") is None:
        return "-"
    return _with_bounds(entry["difference"], *(entry["difference_interval"] or (None, None)))


def _with_bounds(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:+.3f}" + ("" if low is None else f" [{low:+.3f}, {high:+.3f}]")


def _read(path: pathlib.Path) -> dict[str, Any]:
    """The gathered results in a file."""
    with os_errors_explained("read", path):
        try:
            found = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is damaged: it is no JSON.") from error
    wanted = {"title", "groups", "shown", "published", "protocol", "baselines", "runs", "by"}
    if not isinstance(found, dict) or not wanted <= set(found) or not found["groups"]:
        raise UserError(f"{path} has no gathered results; see python -m launch sweep --gather.")
    return found
