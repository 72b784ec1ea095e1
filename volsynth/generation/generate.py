"""`volsynth generate` and `volsynth pose`: one's own picture in other poses, and its pose."""

import contextlib
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from volsynth import conventions, files
from volsynth.errors import UserError
from volsynth.export import exported_model
from volsynth.generation import backgrounds, persons
from volsynth.generation.backgrounds import Background
from volsynth.generation.persons import Person, Square
from volsynth.images import draw, reader
from volsynth.poses import keypoint_files, pose_library
from volsynth.poses.keypoint_files import Pose
from volsynth.poses.retargeting import Body

Frame = Literal["original", "square"]

MOST_TARGETS = 100
"""Of one call; a motion is for `animate`."""

SHEET_CELL, FRAME_CELL = 192, 288
"""Pixels of a cell of a sheet with the model's squares, and of one with whole frames."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Whom to show: a picture, its mask if it is a file, and a file of poses, or else an estimator.

    Attributes:
      image: PNG, JPEG or what else `pictures` reads.
      mask: white where the person is; None where alpha channel or magenta tell.
      pose: file of poses.
      estimator: exported model.
    """

    image: str | os.PathLike[str]
    mask: str | os.PathLike[str] | None = None
    pose: str | os.PathLike[str] | None = None
    estimator: str | os.PathLike[str] | None = None


@dataclasses.dataclass(frozen=True)
class Targets:
    """The poses wanted; all of all kinds, in this order.

    Attributes:
      names: of poses of the package.
      files: of poses, each with one or several.
      images: of persons in these poses, which the source's estimator finds.
    """

    names: Sequence[str] = ()
    files: Sequence[str | os.PathLike[str]] = ()
    images: Sequence[str | os.PathLike[str]] = ()


def generate(
    model: str | os.PathLike[str],
    source: Source,
    targets: Targets,
    out: str | os.PathLike[str],
    frame: Frame = "original",
    sheet: bool = False,
    turn: float = 0.0,
    background: str = "own",
) -> dict[str, Any]:
    """Shows the person of a picture in other poses.

    Args:
      model: exported, that makes pictures.
      source: the person.
      targets: the poses.
      out: PNG; of several targets a folder, in which pictures have the names of their poses.
      frame: "original": as large as the picture, with the person where it stood; "square": what the
        model makes, on magenta.
      sheet: whether `out` is one picture of source, skeletons and all that was generated.
      turn: degrees by which the poses are turned to the person's left.
      background: of an original frame, as in `backgrounds.behind`.

    Returns:
      {"pictures": [paths], "targets": [names]}.

    Raises:
      UserError: something that was given cannot be read, or does not fit.
    """
    out = pathlib.Path(out)
    one = sheet or len(targets.names) + len(targets.images) + len(targets.files) == 1
    if one and out.suffix:
        draw.png_path(out)
    check_background(background, frame)
    with _writing(out):
        files.check_place(out)
    estimator = persons.load_estimator(source.estimator) if source.estimator else None
    wanted = _wanted(targets, estimator)
    if (sheet or len(wanted) == 1) != bool(out.suffix):
        what = "one PNG" if sheet or len(wanted) == 1 else "a folder, or with --sheet one PNG"
        raise UserError(f"--out of {len(wanted)} poses must be {what}, got {out}.")
    generator = persons.load_generator(model)
    who = read_person(source, generator.image_size, estimator)
    stages = [persons.stage([pose], who, turn) for _, pose in wanted]
    made = [run(generator, who, bodies, square)[0] for bodies, square in stages]
    names = [name for name, _ in wanted]
    behind = behind_of(source, who, frame, background)
    with _writing(out):
        if sheet:
            draw.save_png(out, _sheet(source, who, names, stages, made, behind))
            paths = [out]
        else:
            paths = [out] if out.suffix else [out / f"{name}.png" for name in names]
            for path, (_, square), image in zip(paths, stages, made):
                draw.save_png(path, Image.fromarray(framed(image, square, behind)))
    return {"pictures": [str(path) for path in paths], "targets": names}


@contextlib.contextmanager
def _writing(path):
    """Says which file it was that could not be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}.") from error


def read_person(source: Source, side: int, estimator: exported_model.Model | None = None) -> Person:
    """The person of a source, at a model's size.

    Raises:
      UserError: as `generate`; there must be a pose or an estimator.
    """
    image, mask = persons.read_picture(source.image, source.mask)
    if source.pose is not None:
        pose = persons.pose_of(source.pose, source.image)
    elif estimator is not None:
        name = pathlib.Path(source.image).name
        pose = _inside(persons.estimate(estimator, image, mask, name), mask.shape)
    else:
        raise UserError(
            "give --source-pose, a file that says where the person's joints are in the picture "
            "(volsynth studio makes one as you place them), or --estimator, an exported model that "
            "finds them."
        )
    return persons.person(image, mask, pose, side)


def _inside(pose, size):
    """What an estimator puts outside of a picture is at its edge, or beyond: nothing to show."""
    height, width = size
    inside = np.all((pose.joints_px >= 0) & (pose.joints_px <= (width, height)), axis=1)
    return dataclasses.replace(pose, visible=pose.visible & inside)


def run(
    model: exported_model.Model, who: Person, bodies: Sequence[Body], square: Square
) -> UInt8[np.ndarray, "B S S 3"]:
    """Pictures of a person as bodies that stand in one square, of one call of the model."""
    count = len(bodies)
    image = np.repeat(conventions.to_float(who.image)[None], count, axis=0)
    pose = (np.repeat(who.joints[None], count, 0), np.repeat(who.body.visible[None], count, 0))
    return conventions.to_uint8(np.asarray(model(image, pose, in_square(bodies, square))))


def in_square(
    bodies: Sequence[Body], square: Square
) -> tuple[Float[np.ndarray, "B 15 3"], np.ndarray]:
    """Joints and visibility as a model takes them."""
    joints = np.stack([square.joints(body) for body in bodies])
    return joints, np.stack([body.visible for body in bodies])


def check_background(background: str, frame: Frame) -> None:
    """Whether pictures can have a background.

    Raises:
      UserError: there is none of that name, or a square has none but its own.
    """
    backgrounds.check(background)
    if frame == "square" and background != "own":
        raise UserError(
            f"--background {background} is for pictures in the frame of the one that was given; "
            "leave out --frame square, which shows what the model makes, on magenta."
        )


def behind_of(source: Source, who: Person, frame: Frame, background: str) -> Background | None:
    """What goes behind a person in a frame; None where squares stay as they are.

    Raises:
      UserError: a file cannot be read.
    """
    if frame == "square":
        return None
    return backgrounds.behind(background, source.image, source.mask, who)


def framed(
    image: UInt8[np.ndarray, "S S 3"], square: Square, behind: Background | None
) -> Background:
    """A generated square as it is, or cut out and in its place over a frame."""
    return image if behind is None else backgrounds.put(image, square, behind)


def _wanted(targets, estimator) -> list[tuple[str, Pose]]:
    """Names, which differ, and poses."""
    found = [(name, pose_library.named_pose(name)) for name in targets.names]
    for path in map(pathlib.Path, targets.files):
        poses = keypoint_files.read(path)
        if not poses:
            raise UserError(f"{path} has no pose.")
        found += [(_name(path, pose, len(poses) > 1), pose) for pose in poses]
    for path in map(pathlib.Path, targets.images):
        if estimator is None:
            raise UserError(f"give --estimator, an exported model that finds the pose of {path}.")
        image, mask = persons.read_picture(path)
        found.append((path.stem, persons.estimate(estimator, image, mask, path.name)))
    if not 1 <= len(found) <= MOST_TARGETS:
        raise UserError(
            f"{len(found)} target poses; from 1 to {MOST_TARGETS} are allowed. Give --pose NAME, "
            "--target-pose FILE or --target-image FILE; volsynth animate shows motions."
        )
    taken = set()
    for at, (name, pose) in enumerate(found):
        others = (f"{name}-{number}" for number in itertools.count(2))
        free = next(each for each in itertools.chain([name], others) if each not in taken)
        taken.add(free)
        found[at] = (free, pose)
    return found


def _name(path, pose, many):
    """A name that is a file's, and none of its folders'."""
    own = pose.action or pathlib.PurePosixPath(pose.image).stem or f"frame{pose.frame:05d}"
    text = f"{path.stem}-{own}" if many else path.stem
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text).strip(".")[:100]


def _sheet(source, who, names, stages, made, behind):
    """Source and skeletons, and below them what was made: in frames, or in the model's squares."""
    if behind is None:
        # Skeletons are drawn at the size they are shown at, whatever the model's.
        large = max(SHEET_CELL, who.square.side)

        def skeleton(square, body):
            square = dataclasses.replace(square, side=large)
            return draw.skeleton_image(square.joints(body), body.visible, large)

        first = [who.image]
        below = made
    else:
        large = FRAME_CELL
        scale = min(large / max(who.frame), 1)

        def small(frame):
            size = [round(scale * side) for side in who.frame[::-1]]
            picture = Image.fromarray(backgrounds.on_colour(frame, draw.WHITE))
            return np.asarray(picture.resize(size, Image.Resampling.LANCZOS))

        def skeleton(square, body):
            del square  # Bodies are in pixels of the frame.
            page = np.full((*(round(scale * side) for side in who.frame), 3), 255, np.uint8)
            return draw.overlay_skeleton(page, body.joints * scale, body.visible)

        first = [small(reader.read_rgba(source.image))]
        below = [small(framed(image, square, behind)) for image, (_, square) in zip(made, stages)]
    rows = [
        [*first, *(skeleton(square, body) for (body,), square in stages)],
        [skeleton(who.square, who.body), *below],
    ]
    return draw.grid(rows, ("source", *names), cell=large)


def find_pose(
    model: str | os.PathLike[str],
    image: str | os.PathLike[str],
    out: str | os.PathLike[str],
    mask: str | os.PathLike[str] | None = None,
    picture: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Writes the pose of the person in a picture to a file of poses.

    Args:
      model: exported estimator.
      image: of one person.
      out: JSON.
      mask: as in `Source`.
      picture: PNG, the skeleton over the image, what is transparent on magenta; None for none.

    Returns:
      {"poses": path, "picture": path or None, "joints_px": [15, 2], "visible": [15], which lie in
      the picture; others are null in the file}.

    Raises:
      UserError: something that was given cannot be read, or a file cannot be written.
    """
    out = pathlib.Path(out)
    if out.suffix.lower() != ".json":
        raise UserError(f"--out must end in .json, got {out}.")
    places = [out] if picture is None else [out, draw.png_path(picture)]
    for place in places:
        with _writing(place):
            files.check_place(place)
    pixels, found = persons.read_picture(image, mask)
    name = pathlib.Path(image).name
    pose = persons.estimate(persons.load_estimator(model), pixels, found, name)
    pose = _inside(pose, found.shape)
    with _writing(out):
        keypoint_files.write(out, [pose])
    if picture is not None:
        body = persons.body_of(pose)
        # What lies under transparent pixels is nothing that anyone has seen.
        shown = reader.read_rgb(image)
        with _writing(picture):
            draw.save_png(picture, draw.overlay_skeleton(shown, body.joints, body.visible))
    return {
        "poses": str(out),
        "picture": str(picture) if picture else None,
        "joints_px": pose.joints_px.round(2).tolist(),
        "visible": pose.visible.tolist(),
    }
