"""The command line: `volsynth COMMAND`.

Imports are late, so that `--help` answers at once. Errors a user can cause are one line on standard
error and exit status 2; a run that was interrupted, with its checkpoint saved, exits with 3.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence

from volsynth.errors import UserError

INTERRUPTED = 3

DEMO, FULL = "configs/volumetric.py:demo", "configs/volumetric.py:full"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    overrides = [a for a in rest if a.startswith("--config.")]
    unknown = [a for a in rest if a not in overrides]
    if unknown:
        parser.error(f"unrecognised argument {unknown[0]!r}; see volsynth {options.command} --help")
    options.overrides = overrides
    try:
        if overrides and not hasattr(options, "config"):
            raise UserError(f"{overrides[0]}: volsynth {options.command} takes no config.")
        return options.run(options) or 0
    except UserError as error:
        # One line, whatever an error that was passed on has in it.
        print("volsynth: error: " + " ".join(str(error).splitlines()), file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="volsynth", description="Renders a person in a new pose, from one picture."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    train = _command(commands, "train", _train, "train a system, or resume its training")
    _config_argument(train)
    train.add_argument("--workdir", required=True, help="checkpoints, metrics and samples go here")
    train.add_argument(
        "--distributed",
        action="store_true",
        help="one of several processes that train together (Slurm, TPU, python -m launch)",
    )

    _evaluate_arguments(
        _command(commands, "evaluate", _evaluate, "score a run, or pictures, with galleries")
    )

    compare = _command(commands, "compare", _compare, "put runs side by side: scores and curves")
    compare.add_argument(
        "workdirs",
        nargs="+",
        metavar="DIR",
        help="of volsynth train, or of volsynth evaluate --out",
    )
    compare.add_argument("--split", default="test", help="whose scores; default: test")
    compare.add_argument("--curves", metavar="FILE.png", help="draw losses and loss scales, too")
    _json_argument(compare)

    report = _command(commands, "report", _report, "one page about runs: state, curves, samples")
    report.add_argument("workdirs", nargs="+", metavar="WORKDIR", help="of runs of volsynth train")
    report.add_argument("--out", metavar="FILE.html", help="default: report.html in the first one")
    report.add_argument("--png", metavar="FILE.png", help="the curves alone, too")

    features = _command(
        commands, "features", _features, "show what a run's volume holds, and where"
    )
    features.add_argument("--workdir", required=True, help="of a run of volsynth train")
    features.add_argument("--split", default="validation", help="default: validation")
    features.add_argument(
        "--step", type=_step, help="checkpoint to look into, or best; default: the newest"
    )
    features.add_argument("--count", type=int, default=4, help="pairs to show; default: 4")
    features.add_argument("--data-dir", help="where the data is, if not where it was in training")
    features.add_argument("--out", metavar="FILE.png", help="default: features.png in WORKDIR")
    _json_argument(features)

    export = _command(commands, "export", _export, "put a run into one folder to give away")
    export.add_argument("--workdir", required=True, help="of a run of volsynth train")
    export.add_argument("--out", required=True, metavar="FOLDER", help="of the exported model")
    export.add_argument("--step", type=_step, help="checkpoint, or best; default: the newest")
    export.add_argument(
        "--split", default="test", help="whose scores go into the card; default: test"
    )
    export.add_argument(
        "--licence", metavar="TEXT", help="of the model; default: Apache-2.0 for posed_people alone"
    )
    export.add_argument(
        "--force", action="store_true", help="replace a folder that holds other things, too"
    )
    _json_argument(export)

    _generate_arguments(commands)

    describe = _command(commands, "describe", _describe, "parameters, multiply-adds and memory")
    _config_argument(describe)
    describe.add_argument(
        "--step", action="store_true", help="compile the training step, too: its peak memory"
    )
    _json_argument(describe)

    bench = commands.add_parser("bench", help="measure speed and memory against other forms")
    benches = bench.add_subparsers(dest="bench_command", required=True, metavar="COMMAND")
    of_warp = _command(benches, "warp", _bench, "the warp: ours, the naive form, PyTorch")
    _data_arguments(of_warp)
    of_conv = _command(benches, "conv3d", _bench, "3D convolution: ours, XLA's own, PyTorch's")
    of_step = _command(benches, "step", _bench, "a training step: ours and a PyTorch twin's")
    _config_argument(of_warp, FULL)
    _config_argument(of_conv, DEMO, FULL)
    _config_argument(of_step, FULL)
    for command in (of_warp, of_conv, of_step):
        command.add_argument(
            "--repeats", type=int, default=5, help="turns of each candidate; default: 5"
        )
        command.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
        _json_argument(command)

    of_input = _command(benches, "input", _bench_input, "images per second of the input pipeline")
    _data_arguments(of_input, config_name=None, usual="CONFIG has, or 64, 128 and 256")
    of_input.add_argument(
        "--config", metavar="FILE[:VARIANT]", help="measure its training step beside, too"
    )
    of_input.add_argument("--repeats", type=int, default=5, help="turns of each; default: 5")
    _json_argument(of_input)

    of_generate = _command(
        benches, "generate", _bench_generate, "frames per second of an exported model"
    )
    of_generate.add_argument("--model", required=True, help="of volsynth export")
    of_generate.add_argument("--batch", type=int, default=8, help="frames at once; default: 8")
    of_generate.add_argument("--repeats", type=int, default=5, help="turns of each; default: 5")
    _json_argument(of_generate)

    data = commands.add_parser("data", help="look at a prepared data set")
    data_commands = data.add_subparsers(dest="data_command", required=True, metavar="COMMAND")
    show = _command(data_commands, "show", _show, "a contact sheet: pictures, joints, parts")
    _data_arguments(show, config_name=None, usual="CONFIG has, or 64", of_config=True)
    show.add_argument(
        "--config",
        metavar="FILE[:VARIANT]",
        help="show its training pairs instead, changed as config.data.augment has it",
    )
    show.add_argument("--split", default="train", help="default: train")
    show.add_argument("--count", type=int, default=24, help="pictures; default: 24")
    show.add_argument("--seed", type=int, default=0, help="which pictures; default: 0")
    show.add_argument(
        "--joints", action="store_true", help="one picture, large, with the names of its joints"
    )
    show.add_argument("--out", default="contact_sheet.png", help="default: contact_sheet.png")

    of_pairs = _command(
        data_commands, "pairs", _pairs, "write the pairs of a split, for other methods to generate"
    )
    _data_arguments(of_pairs)
    of_pairs.add_argument("--split", default="test", help="default: test")
    of_pairs.add_argument("--out", default="pairs", metavar="FOLDER", help="default: pairs")

    for name, run, summary in (
        ("check", _check, "whether every record of a data set is sound"),
        ("stats", _stats, "what a data set holds, in figures"),
    ):
        command = _command(data_commands, name, run, summary)
        _data_arguments(command)
        command.add_argument("--split", help="default: all")
        _json_argument(command)
    of_keypoints = _command(
        data_commands, "convert-keypoints", _convert_keypoints, "files of poses to our own format"
    )
    of_keypoints.add_argument(
        "source", metavar="IN", help="JSON or CSV (docs/data.md), or a folder of OpenPose's JSON"
    )
    of_keypoints.add_argument("out", metavar="OUT.json", help="the new file")
    of_keypoints.add_argument(
        "--from",
        dest="order",
        required=True,
        metavar="ORDER",
        help="of its joints: openpose_18, openpose_25, coco_17, human36m_17, ... (docs/data.md)",
    )
    _json_argument(of_keypoints)

    study = commands.add_parser("study", help="ratings of models from people's decisions")
    studies = study.add_subparsers(dest="study_command", required=True, metavar="COMMAND")
    simulate = _command(
        studies, "simulate", _simulate, "how well each way to select pairs recovers known ratings"
    )
    simulate.add_argument("--runs", type=int, default=2000, help="studies; default: 2000")
    simulate.add_argument("--models", type=int, default=8, help="of a study; default: 8")
    simulate.add_argument("--games", type=int, default=200, help="of a study; default: 200")
    simulate.add_argument("--seed", type=int, default=0, help="default: 0")
    _json_argument(simulate)

    collect = _command(studies, "collect", _collect, "a run's pictures, in a folder for a study")
    collect.add_argument("--workdir", required=True, help="of a run of volsynth train")
    collect.add_argument("--out", required=True, metavar="DIR", help="folder for the pictures")
    collect.add_argument("--count", type=int, default=200, help="most pictures; default: 200")
    collect.add_argument("--split", default="test", help="default: test")
    collect.add_argument("--step", type=_step, help="checkpoint, or best; default: the newest")
    collect.add_argument("--method", help="its name in the report; default: that of WORKDIR")
    collect.add_argument("--data-dir", help="where the data is, if not where it was in training")
    _json_argument(collect)

    serve = _command(studies, "serve", _serve, "ask people, on a page in the browser")
    serve.add_argument(
        "--results", nargs="+", required=True, metavar="DIR", help="of volsynth study collect"
    )
    serve.add_argument(
        "--database", default="study.db", metavar="FILE", help="of the answers; default: study.db"
    )
    serve.add_argument(
        "--games", type=int, default=200, help="decisions of a judge in every task; default: 200"
    )
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen at; default: this machine only"
    )
    serve.add_argument("--port", type=int, default=8765, help="0 for any; default: 8765")
    serve.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="by which browsers reach it, if not --host; may be given more than once",
    )

    found = _command(studies, "report", _study_report, "ratings, agreement, metrics with people")
    found.add_argument("--database", required=True, metavar="FILE", help="of volsynth study serve")
    found.add_argument(
        "--results", nargs="+", default=[], metavar="DIR", help="for the metrics in results.json"
    )
    found.add_argument("--out", metavar="DIR", help="for JSON, Markdown and pictures")
    found.add_argument(
        "--resamples", type=int, default=1000, help="of the bootstrap over judges; default: 1000"
    )
    _json_argument(found)

    weights = commands.add_parser("weights", help="weights of networks that losses and scores use")
    of_weights = weights.add_subparsers(dest="weights_command", required=True, metavar="COMMAND")
    convert = _command(of_weights, "convert", _convert, "check weights, and keep what is used")
    convert.add_argument("source", metavar="IN", help="of torch.save, or safetensors")
    convert.add_argument("out", metavar="OUT.safetensors", help="the new file")
    kinds = ("vgg19", "inception", "lpips-alex", "lpips-vgg")
    convert.add_argument("--kind", choices=kinds, default="vgg19", help="default: vgg19")
    convert.add_argument("--lin", metavar="FILE", help="learned weights of LPIPS, for lpips kinds")

    doctor = _command(commands, "doctor", _doctor, "devices, versions, data sets and weights found")
    doctor.add_argument("--data-dir", default="data", help="default: data")
    doctor.add_argument("--weights-dir", default="weights", help="default: weights")
    _json_argument(doctor)
    return parser


def _command(commands, name, run, summary):
    parser = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
    parser.set_defaults(run=run)
    return parser


def _generate_arguments(commands):
    """The commands for one's own pictures."""
    generate = _command(commands, "generate", _generate, "show a person of a picture in new poses")
    _source_arguments(generate)
    wanted = generate.add_argument_group("poses, each as often as you like")
    for option, metavar, what in (
        ("--pose", "NAME", "such as standing, walking, t_pose, sitting, waving"),
        ("--target-pose", "FILE", "of poses; all of them"),
        ("--target-image", "FILE", "somebody in that pose, which --estimator finds"),
    ):
        wanted.add_argument(option, action="append", default=[], metavar=metavar, help=what)
    generate.add_argument("--out", required=True, help="PNG; of several poses a folder")
    generate.add_argument(
        "--sheet", action="store_true", help="one picture: source, skeletons, what was generated"
    )
    _json_argument(generate)

    animate = _command(commands, "animate", _animate, "show a person of a picture in a motion")
    _source_arguments(animate)
    animate.add_argument(
        "--motion", required=True, metavar="FILE", help="of poses, one for each frame"
    )
    animate.add_argument("--out", required=True, help="*.mp4, *.gif or a folder for frames")
    animate.add_argument("--fps", type=float, default=25.0, help="frames per second; default: 25")
    animate.add_argument("--batch", type=int, default=8, help="frames at once; default: 8")
    _json_argument(animate)

    pose = _command(commands, "pose", _pose, "find the pose of the person in a picture")
    pose.add_argument("--model", required=True, help="pose estimator, of volsynth export")
    _image_arguments(pose)
    pose.add_argument("--out", required=True, metavar="FILE.json", help="of the pose")
    pose.add_argument("--picture", metavar="FILE.png", help="draw the skeleton over the picture")
    _json_argument(pose)


def _image_arguments(parser):
    parser.add_argument("--image", required=True, help="PNG or JPEG of one person")
    parser.add_argument(
        "--mask",
        metavar="FILE",
        help="white where the person is; not needed with a transparent or magenta background",
    )


def _source_arguments(parser):
    parser.add_argument("--model", required=True, help="of volsynth export")
    _image_arguments(parser)
    parser.add_argument("--source-pose", metavar="FILE", help="of poses (docs/data.md)")
    parser.add_argument("--estimator", metavar="DIR", help="finds poses; of volsynth export")
    parser.add_argument(
        "--frame",
        choices=("original", "square"),
        default="original",
        help="of what is made: in the picture's own frame, or the model's; default: original",
    )
    parser.add_argument(
        "--turn",
        type=float,
        default=0.0,
        metavar="DEGREES",
        help="turn the poses to the person's left",
    )


def _evaluate_arguments(evaluate):
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
        "--step", type=_step, help="checkpoint to score, or best; default: the newest"
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
    _json_argument(evaluate)


def _config_argument(parser, *defaults):
    """`--config`; what has several configs without it finds them in `default_configs`."""
    usual = f"; default: {' and '.join(defaults)}" if defaults else ""
    parser.set_defaults(default_configs=defaults)
    parser.add_argument(
        "--config",
        required=not defaults,
        metavar="FILE[:VARIANT]",
        help="such as configs/volumetric.py:demo; override values by --config.SECTION.KEY=VALUE"
        + usual,
    )


def _data_arguments(parser, config_name="64", usual="64", of_config=False):
    """Which data set; with `of_config` what is not given is the config's."""
    for option, default in (("--data-dir", "data"), ("--name", "posed_people")):
        whose = f"default: {'CONFIG has, or ' if of_config else ''}{default}"
        parser.add_argument(option, default=None if of_config else default, help=whose)
    parser.add_argument(
        "--config-name",
        default=config_name,
        metavar="C",
        help=f"builder config; default: {usual}",
    )


def _step(text):
    if text != "best" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a number or best, got {text!r}")
    return text if text == "best" else int(text)


def _setting(text):
    """KEY=VALUE with a value of JSON, or a word."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, got {text!r}")
    try:
        found = json.loads(value)
    except ValueError:
        found = value
    return key, tuple(found) if isinstance(found, list) else found


def _json_argument(parser):
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def _train(options):
    from volsynth import config as configs
    from volsynth import runs
    from volsynth.train import distributed
    from volsynth.train.loop import Diverged, Interrupted

    config = configs.load(options.config, options.overrides)
    if options.distributed:
        distributed.join()
    try:
        runs.train(config, pathlib.Path(options.workdir))
    except Interrupted as stop:
        print(f"volsynth: {stop}", file=sys.stderr)
        return INTERRUPTED
    except Diverged as stop:
        raise UserError(str(stop)) from stop
    return 0


def _evaluate(options):
    from volsynth import results, scoring
    from volsynth.data import prepared

    if options.gallery < 0:
        raise UserError(f"--gallery must be at least 0, got {options.gallery}.")
    networks = {name: getattr(options, f"lpips_{name}") for name in ("alex", "vgg")}
    asked = scoring.Options(
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
    if not options.images and (options.name or options.config_name):
        raise UserError("--name and --config-name are for --images; a run knows its data.")
    if not options.workdir and options.step is not None:
        raise UserError("--step is for --workdir.")
    if options.workdir:
        found = scoring.evaluate_run(
            pathlib.Path(options.workdir),
            options.split,
            options.step,
            options.data_dir,
            out,
            asked,
        )
    elif options.model:
        found = scoring.evaluate_model(
            pathlib.Path(options.model), options.split, options.data_dir, out, asked
        )
    else:
        if asked.save_images:
            raise UserError("--save-images is for --workdir and --model; --images are there.")
        data = prepared.open_prepared(
            options.data_dir or "data", options.name or "posed_people", options.config_name or "64"
        )
        found = scoring.evaluate_images(
            pathlib.Path(options.images), data, options.split, out, asked
        )
    print(json.dumps(found) if options.json else results.table(found), end="\n"[: options.json])
    return 0


def _compare(options):
    from volsynth import compare

    found = [compare.read(pathlib.Path(folder), options.split) for folder in options.workdirs]
    comparison = compare.compare(found)
    if options.curves:
        labels = [run["label"] for run in comparison["runs"]]
        compare.draw(found, labels, pathlib.Path(options.curves))
    print(json.dumps(comparison) if options.json else compare.table(comparison))
    return 0


def _report(options):
    from volsynth import report

    folders = [pathlib.Path(folder) for folder in options.workdirs]
    runs = [report.read(folder) for folder in folders]
    if options.png:
        report.draw(runs, pathlib.Path(options.png))
    out = pathlib.Path(options.out) if options.out else folders[0] / "report.html"
    report.write(runs, out)
    print(out)
    return 0


def _features(options):
    from volsynth import features

    report = features.features(
        pathlib.Path(options.workdir),
        split_name=options.split,
        step=options.step,
        count=options.count,
        data_dir=options.data_dir,
        out=pathlib.Path(options.out) if options.out else None,
    )
    print(json.dumps(report) if options.json else features.summary(report))
    return 0


def _export(options):
    from volsynth import exporting

    report = exporting.export(
        pathlib.Path(options.workdir),
        pathlib.Path(options.out),
        step=options.step,
        split=options.split,
        licence=options.licence,
        force=options.force,
    )
    print(json.dumps(report) if options.json else exporting.summary(report))
    return 0


def _generate(options):
    from volsynth import generate

    made = generate.generate(
        pathlib.Path(options.model),
        _source(options),
        generate.Targets(options.pose, _paths(options.target_pose), _paths(options.target_image)),
        pathlib.Path(options.out),
        frame=options.frame,
        sheet=options.sheet,
        turn=options.turn,
    )
    print(json.dumps(made) if options.json else "\n".join(made["pictures"]))
    return 0


def _animate(options):
    from volsynth import animate

    made = animate.animate(
        pathlib.Path(options.model),
        _source(options),
        pathlib.Path(options.motion),
        pathlib.Path(options.out),
        fps=options.fps,
        frame=options.frame,
        turn=options.turn,
        batch=options.batch,
        watch=_progress,
    )
    said = f"{made['clip']}: {made['frames']} frames in {made['seconds']:.1f} s"
    print(json.dumps(made) if options.json else said)
    return 0


def _pose(options):
    from volsynth import generate

    found = generate.find_pose(
        pathlib.Path(options.model),
        pathlib.Path(options.image),
        pathlib.Path(options.out),
        _path(options.mask),
        _path(options.picture),
    )
    written = [path for path in (found["poses"], found["picture"]) if path]
    print(json.dumps(found) if options.json else "\n".join(written))
    return 0


def _source(options):
    from volsynth import generate

    return generate.Source(
        pathlib.Path(options.image),
        _path(options.mask),
        _path(options.source_pose),
        _path(options.estimator),
    )


def _path(text):
    return pathlib.Path(text) if text else None


def _paths(texts):
    return [pathlib.Path(text) for text in texts]


def _progress(items, count):
    """Passes on `count` items; on a terminal a bar shows how many."""
    import rich.console
    import rich.progress

    console = rich.console.Console(stderr=True)
    shown = console.is_terminal
    return rich.progress.track(items, "frames", count, console=console, disable=not shown)


def _describe(options):
    from volsynth import config as configs
    from volsynth import describe

    config = configs.load(options.config, options.overrides)
    figures = describe.describe(config)
    if options.step:
        print("compiling the training step ...", file=sys.stderr)
        figures["step_bytes"] = describe.step_bytes(config)
    if options.json:
        print(json.dumps(figures))
    else:
        describe.render(figures)
    return 0


def _show(options):
    from volsynth import draw
    from volsynth.data import augment, mixture, prepared, show

    if options.count < 1:
        raise UserError(f"--count must be at least 1, got {options.count}.")
    config = _optional_config(options)
    usual = {"dir": "data", "name": "posed_people", "config": "64"} if not config else config.data
    folder = options.data_dir or usual["dir"]
    data = prepared.open_prepared(
        folder, options.name or usual["name"], options.config_name or usual["config"]
    )
    if options.joints:
        split = data.split(options.split)
        sheet, shown = show.named_joints(split, options.seed), "1 record"
    elif config is None:
        split = data.split(options.split)
        sheet = show.contact_sheet(split, options.count, options.seed)
        shown = f"{min(options.count, split.records)} records"
    else:
        split = mixture.open_mixture(data, folder, config.data.also).split(options.split)
        augmentation = augment.of_config(config.data)
        sheet = show.training_sheet(
            split, augmentation, options.count, options.seed, config.data.single
        )
        shown = f"{options.count} training pairs"
    draw.save_png(options.out, sheet)
    print(f"{options.out}: {shown} of {data.folder}")
    return 0


def _pairs(options):
    from volsynth import scoring

    path = scoring.write_pairs(
        options.data_dir, options.name, options.config_name, options.split, options.out
    )
    print(path)
    return 0


def _check(options):
    from volsynth.data import check

    data, names = _splits(options)
    report = check.check(data, names, _say)
    print(json.dumps(report) if options.json else check.table(report))
    return 1 if report["problem_count"] else 0


def _stats(options):
    from volsynth.data import check

    report = check.stats(*_splits(options))
    print(json.dumps(report) if options.json else check.table(report))
    return 0


def _splits(options):
    """The data set that the options name, and its splits, or the one that they name."""
    from volsynth.data import prepared

    data = prepared.open_prepared(options.data_dir, options.name, options.config_name)
    return data, [options.split] if options.split else list(data.manifest["splits"])


def _convert_keypoints(options):
    from volsynth import keypoints

    left_out = []
    poses = keypoints.read(options.source, options.order, left_out.append)
    keypoints.write(options.out, [keypoints.to_ours(pose) for pose in poses])
    for error in left_out:
        _say(f"volsynth: left out: {' '.join(str(error).split())}")
    counts = {"poses": len(poses), "left_out": len(left_out), "out": options.out}
    counted = f"{len(poses)} poses, {len(left_out)} left out"
    print(json.dumps(counts) if options.json else f"{options.out}: {counted}")
    return 1 if left_out else 0


def _bench(options):
    from volsynth import config as configs
    from volsynth.bench import cases, warps

    if options.repeats < 1:
        raise UserError(f"--repeats must be at least 1, got {options.repeats}.")
    specs = [options.config] if options.config else options.default_configs
    loaded = [configs.load(spec, options.overrides) for spec in specs]
    for config in loaded:
        cases.check_volumetric(config, options.bench_command)
    # Only the convolution has several.
    config = loaded[0]
    with_torch = not options.no_torch and cases.torch_found()
    settings = (options.repeats, with_torch, _say)
    if options.bench_command == "warp":
        poses = cases.prepared_poses(
            options.data_dir,
            options.name,
            options.config_name,
            config.train.batch_size,
            config.data.image_size,
        )
        report = warps.bench_warp(config, poses, *settings)
    elif options.bench_command == "conv3d":
        shapes = [shape for config in loaded for shape in cases.conv3d_shapes(config)]
        report = cases.bench_conv3d(shapes, *settings)
    else:
        report = cases.bench_step(config, *settings)
    print(json.dumps(report, indent=None if options.json else 2))
    return 0


def _bench_input(options):
    from volsynth.bench import feeding

    if options.repeats < 1:
        raise UserError(f"--repeats must be at least 1, got {options.repeats}.")
    config = _optional_config(options)
    wanted = feeding.default_data(options.config_name, config)
    sets = feeding.open_sets(options.data_dir, options.name, wanted, _say)
    report = feeding.report(sets, config, options.repeats, _say)
    print(json.dumps(report, indent=None if options.json else 2))
    return 0


def _bench_generate(options):
    from volsynth.bench import generating

    if options.repeats < 1:
        raise UserError(f"--repeats must be at least 1, got {options.repeats}.")
    report = generating.bench(pathlib.Path(options.model), options.batch, options.repeats, _say)
    print(json.dumps(report, indent=None if options.json else 2))
    return 0


def _optional_config(options):
    """The config where one is given."""
    from volsynth import config as configs

    if options.overrides and not options.config:
        raise UserError(f"{options.overrides[0]}: give --config, too.")
    return configs.load(options.config, options.overrides) if options.config else None


def _say(line):
    print(line, file=sys.stderr, flush=True)


def _simulate(options):
    from volsynth.study import simulate

    report = simulate.simulate(options.runs, options.models, options.games, options.seed)
    print(json.dumps(report) if options.json else simulate.table(report))
    return 0


def _collect(options):
    from volsynth import collecting

    report = collecting.collect(
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
        if not report["scores"]:
            print("without scores: volsynth evaluate, and copy its results.json there")
    return 0


def _serve(options):
    try:
        from volsynth.study import server
    except ModuleNotFoundError as error:
        raise UserError(
            f"the study's page needs {error.name}: pip install 'volsynth[study]'."
        ) from error
    server.serve(
        [pathlib.Path(folder) for folder in options.results],
        pathlib.Path(options.database),
        options.games,
        options.host,
        options.port,
        options.name,
        _say,
    )
    return 0


def _study_report(options):
    from volsynth.study import report

    results = [pathlib.Path(folder) for folder in options.results]
    found = report.report(pathlib.Path(options.database), results, options.resamples)
    if options.out:
        for path in report.write(found, pathlib.Path(options.out)):
            _say(path)
    print(json.dumps(found) if options.json else report.markdown(found))
    return 0


def _convert(options):
    from volsynth.nn import pretrained

    found = pretrained.convert(options.source, options.out, options.kind, options.lin)
    print(f"{options.source}: SHA-256 {found['source']}")
    if options.lin is not None:
        print(f"{options.lin}: SHA-256 {found['lin']}")
    print(f"{options.out}: SHA-256 {found['out']}")
    print(f"{options.kind}: {found['arrays']} arrays, {found['values']:,} values, float32")
    return 0


def _doctor(options):
    from volsynth import doctor

    report = doctor.report(options.data_dir, options.weights_dir)
    if options.json:
        print(json.dumps(report))
    else:
        doctor.render(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
