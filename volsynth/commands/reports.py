"""Commands that show how runs went, and what the volumes of their models hold."""

import json
import pathlib
from typing import Any

from volsynth.commands import shared


def add(commands: Any) -> None:
    """Adds the commands report and features to the parser."""
    report = shared.add_command(
        commands, "report", _report, "one page about runs: state, curves, samples"
    )
    report.add_argument("workdirs", nargs="+", metavar="WORKDIR", help="of runs of volsynth train")
    report.add_argument("--out", metavar="FILE.html", help="default: report.html in the first one")
    report.add_argument("--png", metavar="FILE.png", help="the curves alone, too")

    features = shared.add_command(
        commands, "features", _features, "show what a run's volume holds, and where"
    )
    features.add_argument("--workdir", required=True, help="of a run of volsynth train")
    features.add_argument("--split", default="validation", help="default: validation")
    features.add_argument(
        "--step",
        type=shared.checkpoint_step,
        help="checkpoint to look into, or best; default: the newest",
    )
    features.add_argument("--count", type=int, default=4, help="pairs to show; default: 4")
    features.add_argument("--data-dir", help="where the data is, if not where it was in training")
    features.add_argument("--out", metavar="FILE.png", help="default: features.png in WORKDIR")
    shared.add_json_argument(features)


def _report(options):
    from volsynth.reports import report_page

    folders = [pathlib.Path(folder) for folder in options.workdirs]
    # All runs are read before anything is written.
    runs = [report_page.read(folder) for folder in folders]
    if options.png:
        report_page.draw(runs, pathlib.Path(options.png))
    out = pathlib.Path(options.out) if options.out else folders[0] / "report.html"
    report_page.write(runs, out)
    print(out)
    return 0


def _features(options):
    from volsynth.diagnostics import volume_features

    report = volume_features.draw_features(
        pathlib.Path(options.workdir),
        split_name=options.split,
        step=options.step,
        count=options.count,
        data_dir=options.data_dir,
        out=pathlib.Path(options.out) if options.out else None,
    )
    print(json.dumps(report) if options.json else volume_features.summary(report))
    return 0
