"""Commands of the study, which asks people to compare pictures and rates models by the answers."""

import json
import pathlib
from typing import Any

from volsynth import progress
from volsynth.commands import shared


def add(commands: Any) -> None:
    """Adds the command study to the parser."""
    study = commands.add_parser("study", help="ratings of models from people's decisions")
    studies = study.add_subparsers(dest="study_command", required=True, metavar="COMMAND")
    _add_simulate(studies)
    _add_coverage(studies)
    _add_collect(studies)
    _add_serve(studies)
    _add_report(studies)


def _add_simulate(studies):
    simulate = shared.add_command(
        studies, "simulate", _simulate, "how well each way to select pairs recovers known ratings"
    )
    simulate.add_argument("--runs", type=int, default=2000, help="studies; default: 2000")
    simulate.add_argument("--models", type=int, default=8, help="of a study; default: 8")
    simulate.add_argument("--games", type=int, default=200, help="of a study; default: 200")
    simulate.add_argument("--seed", type=int, default=0, help="default: 0")
    shared.add_json_argument(simulate)


def _add_coverage(studies):
    coverage = shared.add_command(
        studies, "coverage", _coverage, "how often a report's intervals hold the truth"
    )
    coverage.add_argument("--runs", type=int, default=200, help="studies of a case; default: 200")
    coverage.add_argument("--models", type=int, default=4, help="of a study; default: 4")
    coverage.add_argument(
        "--prior", type=float, help="tied games added to every pair; default: as in a report"
    )
    shared.add_json_argument(coverage)


def _add_collect(studies):
    collect = shared.add_command(
        studies, "collect", _collect, "a run's pictures, in a folder for a study"
    )
    collect.add_argument("--workdir", required=True, help="of a run of volsynth train")
    collect.add_argument("--out", required=True, metavar="DIR", help="folder for the pictures")
    collect.add_argument("--count", type=int, default=200, help="most pictures; default: 200")
    collect.add_argument("--split", default="test", help="default: test")
    collect.add_argument(
        "--step", type=shared.checkpoint_step, help="checkpoint, or best; default: the newest"
    )
    collect.add_argument("--method", help="its name in the report; default: that of WORKDIR")
    collect.add_argument("--data-dir", help="where the data is, if not where it was in training")
    shared.add_json_argument(collect)


def _add_serve(studies):
    serve = shared.add_command(studies, "serve", _serve, "ask people, on a page in the browser")
    serve.add_argument(
        "--results", nargs="+", required=True, metavar="DIR", help="of volsynth study collect"
    )
    serve.add_argument(
        "--database", default="study.db", metavar="FILE", help="of the answers; default: study.db"
    )
    serve.add_argument(
        "--games", type=int, default=200, help="decisions of a judge in every task; default: 200"
    )
    shared.add_server_arguments(serve, 8765)


def _add_report(studies):
    report = shared.add_command(
        studies, "report", _study_report, "ratings, agreement, metrics with people"
    )
    report.add_argument("--database", required=True, metavar="FILE", help="of volsynth study serve")
    report.add_argument(
        "--results", nargs="+", default=[], metavar="DIR", help="for the metrics in results.json"
    )
    report.add_argument("--out", metavar="DIR", help="for JSON, Markdown and pictures")
    report.add_argument(
        "--resamples", type=int, default=1000, help="of the bootstrap over judges; default: 1000"
    )
    shared.add_json_argument(report)


def _simulate(options):
    from volsynth.study import simulate

    report = simulate.simulate(options.runs, options.models, options.games, options.seed)
    print(json.dumps(report) if options.json else simulate.table(report))
    return 0


def _coverage(options):
    from volsynth.study import coverage, report

    # Not `options.prior or ...`: a prior of 0 is allowed.
    prior = report.PRIOR if options.prior is None else options.prior
    found = coverage.measure(prior, options.runs, options.models)
    print(json.dumps(found) if options.json else coverage.table(found))
    return 0


def _collect(options):
    from volsynth.evaluation import study_pictures

    report = study_pictures.collect(
        pathlib.Path(options.workdir),
        pathlib.Path(options.out),
        options.count,
        options.split,
        options.step,
        options.method,
        options.data_dir,
    )
    if options.json:
        print(json.dumps(report))
    else:
        print(f"{report['out']}: {report['items']} pictures of {report['method']}")
        # Without them the report can only rate, not compare metrics with people.
        if not report["scores"]:
            print("without scores: volsynth evaluate, and copy its results.json there")
    return 0


def _serve(options):
    # Before the import below, which would fail with a traceback.
    shared.check_extra("the study's page", "study")
    from volsynth.study import server

    server.serve(
        [pathlib.Path(folder) for folder in options.results],
        pathlib.Path(options.database),
        options.games,
        options.host,
        options.port,
        options.name,
        progress.say,
    )
    return 0


def _study_report(options):
    from volsynth.study import report, report_files

    results = [pathlib.Path(folder) for folder in options.results]
    found = report.report(pathlib.Path(options.database), results, options.resamples)
    if options.out:
        for path in report_files.write(found, pathlib.Path(options.out)):
            progress.say(path)
    print(json.dumps(found) if options.json else report_files.markdown(found))
    return 0
