"""`volsynth pose`: the pose of the person in a user's picture, from files to files."""

import os
import pathlib
from typing import Any

from volsynth import files
from volsynth.errors import UserError, os_errors_explained
from volsynth.generation import estimation
from volsynth.generation.bodies import to_body
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
    with os_errors_explained("write", out):
        keypoint_files.write(out, [pose])
    if picture is not None:
        body = to_body(pose)
        # Colours under transparent pixels are nothing that anyone has seen.
        shown = reader.over_colour(given.pixels)
        with os_errors_explained("write", picture):
            draw.save_png(picture, draw.overlay_skeleton(shown, body.joints, body.visible))
    return {
        "poses": str(out),
        "picture": str(picture) if picture else None,
        "joints_px": pose.joints_px.round(2).tolist(),
        "visible": pose.visible.tolist(),
    }


def _check_places(out, picture):
    """Checks the names of files before networks are loaded, which takes seconds."""
    if out.suffix.lower() != ".json":
        raise UserError(f"--out must end in .json, got {out}.")
    for place in [out] if picture is None else [out, draw.png_path(picture)]:
        with os_errors_explained("write", place):
            files.check_place(place)
