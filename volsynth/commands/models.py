"""Commands that export a run as one folder, and that use such an exported model."""

import json
import pathlib
import sys
from typing import Any

from volsynth import progress
from volsynth.commands import shared
from volsynth.errors import UserError


def add(commands: Any) -> None:
    """Adds the commands export, generate, animate and pose to the parser."""
    _add_export(commands)
    _add_generate(commands)
    _add_animate(commands)
    _add_pose(commands)


def _add_export(commands):
    export = shared.add_command(
        commands, "export", _export, "put a run into one folder to give away"
    )
    export.add_argument("--workdir", required=True, help="of a run of volsynth train")
    export.add_argument("--out", required=True, metavar="FOLDER", help="of the exported model")
    export.add_argument(
        "--step", type=shared.checkpoint_step, help="checkpoint, or best; default: the newest"
    )
    export.add_argument(
        "--split", default="test", help="whose scores go into the card; default: test"
    )
    export.add_argument(
        "--licence", metavar="TEXT", help="of the model; default: Apache-2.0 for posed_people alone"
    )
    export.add_argument(
        "--force", action="store_true", help="replace a folder that holds other things, too"
    )
    shared.add_json_argument(export)


def _add_generate(commands):
    generate = shared.add_command(
        commands, "generate", _generate, "show a person of a picture in new poses"
    )
    # One list of options for one person, whether still or moving.
    _source_arguments(generate)
    wanted = generate.add_argument_group("poses, each as often as you like")
    for option, metavar, what in (
        ("--pose", "NAME", "such as standing, walking, t_pose, sitting, waving"),
        ("--target-pose", "FILE", "of poses; all of them"),
        ("--target-image", "FILE", "a picture of somebody in that pose"),
    ):
        wanted.add_argument(option, action="append", default=[], metavar=metavar, help=what)
    generate.add_argument("--out", required=True, help="PNG; of several poses a folder")
    generate.add_argument(
        "--sheet", action="store_true", help="one picture: source, skeletons, what was generated"
    )
    shared.add_json_argument(generate)


def _add_animate(commands):
    animate = shared.add_command(
        commands, "animate", _animate, "show a person of a picture in a motion"
    )
    _source_arguments(animate)
    animate.add_argument(
        "--motion",
        required=True,
        metavar="NAME|FILE",
        help="such as walking, running, waving, dancing, turning; or a file of poses, one a frame",
    )
    animate.add_argument("--out", required=True, help="*.mp4, *.gif or a folder for frames")
    animate.add_argument("--fps", type=float, help="frames per second; default: 25")
    animate.add_argument("--batch", type=int, default=8, help="frames at once; default: 8")
    shared.add_json_argument(animate)


def _add_pose(commands):
    pose = shared.add_command(commands, "pose", _pose, "find the pose of the person in a picture")
    pose.add_argument(
        "--model",
        help="pose estimator in place of the package's own networks; of volsynth export",
    )
    _image_arguments(pose)
    pose.add_argument(
        "--all", action="store_true", help="find all persons, and number them from the largest on"
    )
    pose.add_argument("--out", required=True, metavar="FILE.json", help="of the pose")
    pose.add_argument("--picture", metavar="FILE.png", help="draw the skeleton over the picture")
    shared.add_json_argument(pose)


def _image_arguments(parser):
    parser.add_argument("--image", required=True, help="PNG or JPEG of a person")
    parser.add_argument(
        "--person",
        type=int,
        metavar="N",
        help="which of several persons in the picture; default: 1, the largest",
    )
    parser.add_argument(
        "--mask", metavar="FILE", help="white where the person is; default: it is found"
    )


def _source_arguments(parser):
    parser.add_argument("--model", required=True, help="of volsynth export")
    _image_arguments(parser)
    parser.add_argument(
        "--source-pose",
        metavar="FILE",
        help="of the person's pose (docs/data.md); default: it is found",
    )
    parser.add_argument(
        "--estimator",
        metavar="DIR",
        help="finds poses in place of the package's own networks; of volsynth export",
    )
    parser.add_argument(
        "--also",
        metavar="FILE",
        help="a further picture of the person, such as one from behind; for models that look at "
        "two pictures",
    )
    parser.add_argument("--also-mask", metavar="FILE", help="of that picture, as --mask")
    parser.add_argument("--also-pose", metavar="FILE", help="of that picture, as --source-pose")
    parser.add_argument(
        "--frame",
        choices=("original", "square"),
        default="original",
        help="of what is made: in the picture's own frame, or the model's; default: original",
    )
    parser.add_argument(
        "--background",
        default="own",
        metavar="NAME|FILE",
        help="own: the picture's, with the person filled in; magenta; transparent; or a picture's "
        "file; default: own",
    )
    parser.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="side of the square that the model makes, for models of any size; default: as large "
        "as the person is in the picture",
    )
    parser.add_argument(
        "--turn",
        type=float,
        default=0.0,
        metavar="DEGREES",
        help="turn the poses to the person's left",
    )


def _export(options):
    from volsynth.export import write

    report = write.export(
        pathlib.Path(options.workdir),
        pathlib.Path(options.out),
        step=options.step,
        split=options.split,
        licence=options.licence,
        force=options.force,
    )
    print(json.dumps(report) if options.json else write.summary(report))
    return 0


def _generate(options):
    from volsynth.generation import generate
    from volsynth.generation.targets import Targets

    made = generate.generate(
        pathlib.Path(options.model),
        _source(options),
        Targets(options.pose, _paths(options.target_pose), _paths(options.target_image)),
        pathlib.Path(options.out),
        frame=options.frame,
        sheet=options.sheet,
        turn=options.turn,
        background=options.background,
        size=options.size,
    )
    print(json.dumps(made) if options.json else "\n".join(made["pictures"]))
    return 0


def _animate(options):
    from volsynth.generation import animate

    made = animate.animate(
        pathlib.Path(options.model),
        _source(options),
        options.motion,
        pathlib.Path(options.out),
        fps=options.fps,
        frame=options.frame,
        turn=options.turn,
        batch=options.batch,
        watch=_track_frames,
        background=options.background,
        size=options.size,
    )
    # Also with --json, whose reader may never look at the warnings in it.
    for warning in made["warnings"]:
        print(f"volsynth: warning: {warning}", file=sys.stderr)
    said = f"{made['clip']}: {made['frames']} frames in {made['seconds']:.1f} s"
    print(json.dumps(made) if options.json else said)
    return 0


def _pose(options):
    from volsynth.generation import find_pose
    from volsynth.generation.source import Source

    image, out = pathlib.Path(options.image), pathlib.Path(options.out)
    if options.all:
        if options.mask or options.person is not None or options.model:
            raise UserError("--all is of all persons; leave out --mask, --person and --model.")
        found = find_pose.find_all_poses(image, out, _path(options.picture))
    else:
        source = Source(
            image, _path(options.mask), estimator=_path(options.model), person=options.person
        )
        found = find_pose.find_pose(source, out, _path(options.picture))
    # There is a picture only with --picture.
    said = [path for path in (found["poses"], found["picture"]) if path]
    for person in found.get("persons", ()):
        known = sum(person["visible"])
        said.append(f"person {person['person']}: {known} of 15 joints, {person['score']:.0%} sure")
    print(json.dumps(found) if options.json else "\n".join(said))
    return 0


def _source(options):
    from volsynth.generation.source import Source

    also = None
    if options.also:
        also = Source(
            pathlib.Path(options.also), _path(options.also_mask), _path(options.also_pose)
        )
    elif options.also_mask or options.also_pose:
        raise UserError("--also-mask and --also-pose belong to --also, the picture; give it, too.")
    return Source(
        pathlib.Path(options.image),
        _path(options.mask),
        _path(options.source_pose),
        _path(options.estimator),
        also,
        options.person,
    )


def _path(text):
    return pathlib.Path(text) if text else None


def _paths(texts):
    return [pathlib.Path(text) for text in texts]


def _track_frames(items, count):
    return progress.track(items, "frames", count)
