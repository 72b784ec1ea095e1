"""Commands that show how runs went, and what the volumes of their models hold."""

import json
import pathlib
from typing import Any

from volsynth.commands import shared


def add(commands: Any) -> None:
    """Adds the commands report, features and laws to the parser."""
    report = shared.add_command(
        commands, "report", _report, "one page about runs: state, curves, samples"
    )
    report.add_argument("workdirs", nargs="+", metavar="WORKDIR", help="of runs of volsynth train")
    report.add_argument("--out", metavar="FILE.html", help="default: report.html in the first one")
    report.add_argument("--png", metavar="FILE.png", help="the curves alone, too")

    features = shared.add_command(
        commands, "features", _features, "show what a run's volume holds, and where"
    )
    _add_run_arguments(features, split="validation", out="features.png")
    features.add_argument("--count", type=int, default=4, help="pairs to show; default: 4")

    laws = shared.add_command(
        commands, "laws", _laws, "whether a run keeps to its own pose, to shifts and to mirrors"
    )
    _add_run_arguments(laws, split="test", out="laws.png")
    laws.add_argument("--count", type=int, default=64, help="pairs to look at; default: 64")


def _add_run_arguments(parser, split, out):
    """Adds the arguments of commands that look into a run and draw a picture."""
    parser.add_argument("--workdir", required=True, help="of a run of volsynth train")
    parser.add_argument("--split", default=split, help=f"default: {split}")
    parser.add_argument(
        "--step",
        type=shared.checkpoint_step,
        help="checkpoint to look into, or best; default: the newest",
    )
    parser.add_argument("--data-dir", help="where the data is, if not where it was in training")
    parser.add_argument("--out", metavar="FILE.png", help=f"default: {out} in WORKDIR")
    shared.add_json_argument(parser)


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

    return _look_into(volume_features.draw_features, volume_features.summary, options)


def _laws(options):
    from volsynth.diagnostics import laws

    return _look_into(laws.measure_laws, laws.summary, options)


def _look_into(look, summary, options):
    """Prints what a function finds in a run, of which it draws a picture."""
    report = look(
        pathlib.Path(options.workdir),
        split_name=options.split,
        step=options.step,
        count=options.count,
        data_dir=options.data_dir,
        out=pathlib.Path(options.out) if options.out else None,
    )
    print(json.dumps(report) if options.json else summary(report))
    return 0
