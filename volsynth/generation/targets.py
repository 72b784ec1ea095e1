"""The poses in which the person is to be shown, each with a name for its picture."""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Sequence

from volsynth.errors import UserError
from volsynth.export import exported_model
from volsynth.generation.source import Source, read_source
from volsynth.poses import keypoint_files, pose_library
from volsynth.poses.keypoint_files import Pose

MOST_TARGETS = 100
"""The largest number of poses of one call; whoever wants more wants a motion, as of `animate`."""


@dataclasses.dataclass(frozen=True)
class Targets:
    """The poses to show a person in: first the named ones, then those of files, then of images.

    Attributes:
      names: names of poses of the package.
      files: files of poses, each with one or several.
      images: pictures of persons in these poses, which are found as those of sources are.
    """

    names: Sequence[str] = ()
    files: Sequence[str | os.PathLike[str]] = ()
    images: Sequence[str | os.PathLike[str]] = ()


def read_targets(
    targets: Targets, estimator: exported_model.Model | None = None
) -> list[tuple[str, Pose]]:
    """Reads the wanted poses, and names them after their files; no name comes twice.

    Args:
      targets: names and files.
      estimator: finds the poses of `targets.images`; None for the networks of `photographs`.

    Raises:
      UserError: a name or a file is not there, a file has no pose, a picture shows nobody, or there
        are too many poses or none.
    """
    found = [(name, pose_library.named_pose(name)) for name in targets.names]
    for path in map(pathlib.Path, targets.files):
        poses = keypoint_files.read(path)
        if not poses:
            raise UserError(f"{path} has no pose.")
        found += [(_file_name(path, pose, len(poses) > 1), pose) for pose in poses]
    for path in map(pathlib.Path, targets.images):
        found.append((path.stem, read_source(Source(path), estimator)[1]))
    if not 1 <= len(found) <= MOST_TARGETS:
        raise UserError(
            f"{len(found)} target poses; from 1 to {MOST_TARGETS} are allowed. Give --pose NAME, "
            "--target-pose FILE or --target-image FILE; volsynth animate shows motions."
        )
    return _with_different_names(found)


def _with_different_names(found):
    """The poses with names that differ: the second one of a name gets "-2" behind it, and so on."""
    used, renamed = set(), []
    for name, pose in found:
        # A numbered name may be another pose's own, so every candidate is looked up.
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        free = next(each for each in itertools.chain([name], numbered) if each not in used)
        used.add(free)
        renamed.append((free, pose))
    return renamed


def _file_name(path, pose, many):
    """A name for the picture of a pose of a file, that cannot lead into another folder."""
    own = pose.action or pathlib.PurePosixPath(pose.image).stem or f"frame{pose.frame:05d}"
    text = f"{path.stem}-{own}" if many else path.stem
    # Texts in files of poses are anyone's: slashes and leading dots would leave the folder or hide
    # the picture, and most file systems end names at 255 bytes.
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text).strip(".")[:100]
