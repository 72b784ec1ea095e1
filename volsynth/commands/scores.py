"""Commands that score runs and pictures, and compare the scores."""

import argparse
import json
import pathlib
from typing import Any

from volsynth.commands import shared
from volsynth.errors import UserError


def add(commands: Any) -> None:
    """Adds the commands evaluate and compare to the parser."""
    _evaluate_arguments(
        shared.add_command(
            commands, "evaluate", _evaluate, "score a run, or pictures, with galleries"
        )
    )

    compare = shared.add_command(
        commands, "compare", _compare, "put runs side by side: scores and curves"
    )
    compare.add_argument(
        "workdirs",
        nargs="+",
        metavar="DIR",
        help="of volsynth train, or of volsynth evaluate --out",
    )
    compare.add_argument("--split", default="test", help="whose scores; default: test")
    compare.add_argument("--curves", metavar="FILE.png", help="draw losses and loss scales, too")
    shared.add_json_argument(compare)


def _evaluate_arguments(evaluate):
    # Exactly one of the three says whose pictures are scored.
    what = evaluate.add_mutually_exclusive_group(required=True)
    what.add_argument("--workdir", help="of a run of volsynth train")
    what.add_argument("--model", help="of volsynth export")
    what.add_argument(
        "--images",
        metavar="FOLDER",
        help="pictures that any method made of the pairs of volsynth data pairs",
    )
    evaluate.add_argument("--split", default="test", help="default: test")
    evaluate.add_argument(
        "--step",
        type=shared.checkpoint_step,
        help="checkpoint to score, or best; default: the newest",
    )
    evaluate.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="of the pictures, for systems that make any; default: as in training",
    )
    evaluate.add_argument("--data-dir", help="where the data is; default: as in training, or data")
    evaluate.add_argument("--name", help="data set of --images; default: posed_people")
    evaluate.add_argument("--config-name", metavar="C", help="its builder config; default: 64")
    evaluate.add_argument("--out", help="folder of the results; default: evaluate-SPLIT beside")
    drawn = evaluate.add_argument_group("pictures")
    drawn.add_argument(
        "--gallery", type=int, default=12, metavar="N", help="pairs in each gallery; default: 12"
    )
    drawn.add_argument(
        "--sort-by", default="", metavar="SCORE", help="of the best and worst; default: the task's"
    )
    drawn.add_argument("--save-images", metavar="FOLDER", help="keep all generated pictures there")
    tools = evaluate.add_argument_group("further scores")
    tools.add_argument(
        "--estimator",
        default="",
        metavar="DIR",
        help="PoseEst, by a run of pose_estimator, or an exported one",
    )
    # Written out, as `lpips_networks.NETWORKS` would import JAX.
    for network in ("alex", "vgg"):
        tools.add_argument(
            f"--lpips-{network}", metavar="FILE", help=f"LPIPS, with weights of lpips-{network}"
        )
    tools.add_argument(
        "--inception", default="", metavar="FILE", help="FID and Inception score, with its weights"
    )
    tools.add_argument("--detector", default="", metavar="FILE.onnx", help="detection score")
    tools.add_argument(
        "--detector-option",
        action="append",
        default=[],
        type=_setting,
        metavar="KEY=VALUE",
        help="such as person=15, the class of persons; see docs/metrics.md; can be repeated",
    )
    tools.add_argument(
        "--builtin-features",
        action="store_true",
        help="the like of FID with built-in features, under another name; takes a minute",
    )
    shared.add_json_argument(evaluate)


def _setting(text):
    """Parses KEY=VALUE, where the value is JSON or plain text."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, got {text!r}")
    try:
        found = json.loads(value)
    except ValueError:
        found = value
    # A tuple, as `detectors.Options` has them for sizes and means.
    return key, tuple(found) if isinstance(found, list) else found


def _evaluate(options):
    from volsynth.data import prepared
    from volsynth.evaluation import evaluate
    from volsynth.results import tables

    if options.gallery < 0:
        raise UserError(f"--gallery must be at least 0, got {options.gallery}.")
    networks = {name: getattr(options, f"lpips_{name}") for name in ("alex", "vgg")}
    asked = evaluate.Options(
        gallery=options.gallery,
        sorted_by=options.sort_by,
        estimator=options.estimator,
        lpips={name: path for name, path in networks.items() if path},
        inception=options.inception,
        builtin_features=options.builtin_features,
        detector=options.detector,
        detector_options=dict(options.detector_option),
        save_images=pathlib.Path(options.save_images) if options.save_images else None,
    )
    out = pathlib.Path(options.out) if options.out else None
    # Refused rather than ignored: the scores would be of other data than the user believes.
    if not options.images and (options.name or options.config_name):
        raise UserError("--name and --config-name are for --images; a run knows its data.")
    if options.images and options.size is not None:
        raise UserError("--size is for --workdir and --model; --config-name says which --images.")
    if not options.workdir and options.step is not None:
        raise UserError("--step is for --workdir.")
    if options.workdir:
        found = evaluate.evaluate_run(
            pathlib.Path(options.workdir),
            options.split,
            options.step,
            options.data_dir,
            out,
            asked,
            options.size,
        )
    elif options.model:
        found = evaluate.evaluate_model(
            pathlib.Path(options.model),
            options.split,
            options.data_dir,
            out,
            asked,
            size=options.size,
        )
    else:
        if asked.save_images:
            raise UserError("--save-images is for --workdir and --model; --images are there.")
        data = prepared.open_prepared(
            options.data_dir or "data", options.name or "posed_people", options.config_name or "64"
        )
        found = evaluate.evaluate_images(
            pathlib.Path(options.images), data, options.split, out, asked
        )
    # The table ends with a newline of its own, JSON does not.
    print(
        json.dumps(found) if options.json else tables.results_table(found), end="\n"[: options.json]
    )
    return 0


def _compare(options):
    from volsynth.reports import compare
    from volsynth.reports.comparison_table import comparison_table

    found = [compare.read(pathlib.Path(folder), options.split) for folder in options.workdirs]
    comparison = compare.compare(found)
    if options.curves:
        labels = [run["label"] for run in comparison["runs"]]
        compare.draw(found, labels, pathlib.Path(options.curves))
    print(json.dumps(comparison) if options.json else comparison_table(comparison))
    return 0
