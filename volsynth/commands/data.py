"""Commands on prepared data sets and files of poses."""

import json
from typing import Any

from volsynth import progress
from volsynth.commands import shared
from volsynth.errors import UserError


def add(commands: Any) -> None:
    """Adds the command data to the parser."""
    data = commands.add_parser("data", help="look at a prepared data set")
    data_commands = data.add_subparsers(dest="data_command", required=True, metavar="COMMAND")
    _add_show(data_commands)
    _add_pairs(data_commands)
    _add_check_and_stats(data_commands)
    _add_body(data_commands)
    _add_convert_keypoints(data_commands)


def _add_show(data_commands):
    show = shared.add_command(
        data_commands, "show", _show, "a contact sheet: pictures, joints, parts"
    )
    shared.add_data_arguments(show, config_name=None, usual="CONFIG has, or 64", of_config=True)
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


def _add_pairs(data_commands):
    pairs = shared.add_command(
        data_commands, "pairs", _pairs, "write the pairs of a split, for other methods to generate"
    )
    shared.add_data_arguments(pairs)
    pairs.add_argument("--split", default="test", help="default: test")
    pairs.add_argument("--out", default="pairs", metavar="FOLDER", help="default: pairs")


def _add_check_and_stats(data_commands):
    for name, run, summary in (
        ("check", _check, "whether every record of a data set is sound"),
        ("stats", _stats, "what a data set holds, in figures"),
    ):
        command = shared.add_command(data_commands, name, run, summary)
        shared.add_data_arguments(command)
        command.add_argument("--split", help="default: all")
        shared.add_json_argument(command)


def _add_body(data_commands):
    body = shared.add_command(
        data_commands, "body", _body, "how well bodies of capsules match labelled people"
    )
    shared.add_data_arguments(body)
    body.add_argument("--split", default="train", help="default: train")
    body.add_argument("--count", type=int, default=256, help="pictures; default: 256")
    body.add_argument(
        "--fit", action="store_true", help="find the proportions that match best; takes minutes"
    )
    body.add_argument("--out", metavar="FILE.png", help="draw a dozen people beside their bodies")
    shared.add_json_argument(body)


def _add_convert_keypoints(data_commands):
    keypoints = shared.add_command(
        data_commands, "convert-keypoints", _convert_keypoints, "files of poses to our own format"
    )
    keypoints.add_argument(
        "source", metavar="IN", help="JSON or CSV (docs/data.md), or a folder of OpenPose's JSON"
    )
    keypoints.add_argument("out", metavar="OUT.json", help="the new file")
    keypoints.add_argument(
        "--from",
        dest="order",
        required=True,
        metavar="ORDER",
        help="of its joints: openpose_18, openpose_25, coco_17, human36m_17, ... (docs/data.md)",
    )
    shared.add_json_argument(keypoints)


def _show(options):
    from volsynth.data import augment, mixture, prepared
    from volsynth.diagnostics import data_sheet
    from volsynth.images import draw

    if options.count < 1:
        raise UserError(f"--count must be at least 1, got {options.count}.")
    config = shared.optional_config(options)
    # The keys of config.data, so that both serve as defaults.
    usual = {"dir": "data", "name": "posed_people", "config": "64"} if not config else config.data
    folder = options.data_dir or usual["dir"]
    data = prepared.open_prepared(
        folder, options.name or usual["name"], options.config_name or usual["config"]
    )
    # A config may mix data sets, as its training does; the other two sheets show one data set.
    if options.joints:
        split = data.split(options.split)
        sheet, shown = data_sheet.named_joints(split, options.seed), "1 record"
    elif config is None:
        split = data.split(options.split)
        sheet = data_sheet.contact_sheet(split, options.count, options.seed)
        shown = f"{min(options.count, split.records)} records"
    else:
        split = mixture.open_mixture(data, folder, config.data.also.to_dict()).split(options.split)
        augmentation = augment.from_config(config.data)
        sheet = data_sheet.training_sheet(
            split, augmentation, options.count, options.seed, config.data.single
        )
        shown = f"{options.count} training pairs"
    draw.save_png(options.out, sheet)
    print(f"{options.out}: {shown} of {data.folder}")
    return 0


def _pairs(options):
    from volsynth.evaluation import evaluate

    path = evaluate.write_pairs(
        options.data_dir, options.name, options.config_name, options.split, options.out
    )
    print(path)
    return 0


def _check(options):
    from volsynth.diagnostics import data_check

    data, names = _splits(options)
    report = data_check.check_records(data, names, progress.say)
    print(json.dumps(report) if options.json else data_check.format_report(report))
    # Not 2, which is the status of errors: the check itself succeeded.
    return 1 if report["problem_count"] else 0


def _stats(options):
    from volsynth.diagnostics import data_check

    report = data_check.statistics(*_splits(options))
    print(json.dumps(report) if options.json else data_check.format_report(report))
    return 0


def _body(options):
    from volsynth.data import prepared
    from volsynth.diagnostics import body_fit
    from volsynth.images import draw
    from volsynth.ops.body.capsules import USUAL

    if options.count < 1:
        raise UserError(f"--count must be at least 1, got {options.count}.")
    data = prepared.open_prepared(options.data_dir, options.name, options.config_name)
    people = body_fit.load(data.split(options.split), options.count)
    proportions = USUAL
    if options.fit:
        proportions, _ = body_fit.fit(people, proportions, progress.say)
    found = body_fit.match(people, proportions)
    if options.out:
        draw.save_png(options.out, body_fit.sheet(people, proportions, 12))
    report = {**found._asdict(), "people": len(people.mask), "proportions": proportions._asdict()}
    print(json.dumps(report, indent=None if options.json else 2))
    return 0


def _splits(options):
    """The data set that the options name, and the split that they name, or all of them."""
    from volsynth.data import prepared

    data = prepared.open_prepared(options.data_dir, options.name, options.config_name)
    return data, [options.split] if options.split else list(data.manifest["splits"])


def _convert_keypoints(options):
    from volsynth.poses import keypoint_files

    left_out = []
    poses = keypoint_files.read(options.source, options.order, left_out.append)
    keypoint_files.write(options.out, [keypoint_files.to_skeleton(pose) for pose in poses])
    # What could not be converted is named, and makes the status 1, but does not stop the rest.
    for error in left_out:
        progress.say(f"volsynth: left out: {' '.join(str(error).split())}")
    counts = {"poses": len(poses), "left_out": len(left_out), "out": options.out}
    counted = f"{len(poses)} poses, {len(left_out)} left out"
    print(json.dumps(counts) if options.json else f"{options.out}: {counted}")
    return 1 if left_out else 0
