"""`volsynth pose`: the poses of persons in a user's picture, from files to files."""

import dataclasses
import os
import pathlib
from typing import Any

from volsynth import files
from volsynth.errors import UserError, os_errors_explained
from volsynth.generation import estimation, finding
from volsynth.generation.pictures import read_picture
from volsynth.generation.source import Source, read_source
from volsynth.images import draw, reader
from volsynth.poses import keypoint_files


def find_pose(
    source: Source,
    out: str | os.PathLike[str],
    picture: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Writes the pose of the person in a picture to a file of poses.

    Args:
      source: the picture of the person, without `pose` and `also`.
      out: JSON file to write.
      picture: PNG to write, which shows the skeleton over the image, on magenta where the image is
        transparent; None to write none.

    Returns:
      {"poses": path, "picture": path or None, "joints_px": [15, 2], "visible": [15], which joints
      are known; the others are null in the file}.

    Raises:
      UserError: something that was given cannot be read, nobody is found, or a file cannot be
        written.
    """
    out = pathlib.Path(out)
    _check_places(out, picture)
    estimator = estimation.load_estimator(source.estimator) if source.estimator else None
    given, pose = read_source(source, estimator)
    return {**_write(given, [pose], out, picture), **_describe(pose)}


def find_all_poses(
    image: str | os.PathLike[str],
    out: str | os.PathLike[str],
    picture: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Writes the poses of all persons in a picture to a file of poses.

    In the file `person` is the person's number, 1 for the largest.

    Args:
      image: the picture.
      out: JSON file to write.
      picture: PNG to write, which shows all skeletons over the image with the persons' numbers, on
        magenta where the image is transparent; None to write none.

    Returns:
      {"poses": path, "picture": path or None, "persons": [{"person": number, "score": how surely it
      is a person, "joints_px": [15, 2], "visible": [15]}]}.

    Raises:
      UserError: the picture cannot be read, nobody is found, or a file cannot be written.
    """
    out = pathlib.Path(out)
    _check_places(out, picture)
    given, name = read_picture(image), pathlib.Path(image).name
    found = finding.find_persons(given.image, name, given.mask)
    poses = [
        dataclasses.replace(person.pose(name), person=str(number))
        for number, person in enumerate(found, 1)
    ]
    persons = [
        {"person": number, "score": round(person.score, 4), **_describe(pose)}
        for number, (person, pose) in enumerate(zip(found, poses), 1)
    ]
    return {**_write(given, poses, out, picture), "persons": persons}


def _write(given, poses, out, picture):
    """Writes the file of poses and the picture of skeletons, and returns their paths."""
    with os_errors_explained("write", out):
        keypoint_files.write(out, poses)
    if picture is not None:
        # Colours under transparent pixels are nothing that anyone has seen.
        shown = reader.over_colour(given.pixels)
        # The largest person is in front.
        for pose in reversed(poses):
            shown = draw.overlay_skeleton(shown, pose.joints_px, pose.visible)
        for pose in poses:
            px = pose.joints_px[pose.visible]
            if pose.person and len(px):
                shown = draw.overlay_label(shown, pose.person, px[px[:, 1].argmin()])
        with os_errors_explained("write", picture):
            draw.save_png(picture, shown)
    return {"poses": str(out), "picture": str(picture) if picture else None}


def _describe(pose):
    return {"joints_px": pose.joints_px.round(2).tolist(), "visible": pose.visible.tolist()}


def _check_places(out, picture):
    """Checks the names of files before networks are loaded, which takes seconds."""
    if out.suffix.lower() != ".json":
        raise UserError(f"--out must end in .json, got {out}.")
    for place in [out] if picture is None else [out, draw.png_path(picture)]:
        with os_errors_explained("write", place):
            files.check_place(place)
