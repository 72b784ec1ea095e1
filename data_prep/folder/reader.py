"""The reader of a folder of pictures: images, a file of poses, and masks where there are any."""

import dataclasses
import pathlib

from data_prep.building.sighting_builder import Found
from data_prep.errors import BuildError
from data_prep.reading import pictures, sources
from volsynth.poses import keypoint_files

MASKS = "masks"
"""The folder of masks in the source, where the user names none."""

POSES = ("poses.json", "poses.csv", "poses")
"""The names under which poses are looked for in the source, where the user names no file."""


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a folder of pictures that the user may give.

    Attributes:
      poses: the file of poses, or a folder of OpenPose's files; None for the first of `POSES` in
        the source.
      masks: folder or archive of masks; None for `masks/` in the source, where there is one.
      plain: whether a background of one colour is found by its colour; see `pictures.Pictures`.
      validation: the share of the persons for the validation split.
      test: the share of the persons for the test split.
    """

    poses: pathlib.Path | None = None
    masks: pathlib.Path | None = None
    plain: bool = False
    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        # Written as what is allowed: a share that is not a number then fails, too.
        if not (self.validation >= 0 and self.test >= 0 and self.validation + self.test <= 1):
            raise BuildError(
                "the shares for validation and test must lie in [0, 1] together, got "
                f"{self.validation:g} and {self.test:g}."
            )


def find(source: pathlib.Path, options: Options) -> Found:
    """Finds the pieces of a folder or archive of images.

    Args:
      source: the folder or archive.
      options: what the user says about it.

    Raises:
      BuildError, KeypointError: it is no such source, or it has no poses that can be read.
    """
    opened = sources.open_source(source)
    left_out = list(opened.refused)
    path = options.poses or next((source / n for n in POSES if (source / n).exists()), None)
    if path is None:
        raise BuildError(
            f"{source} has none of {', '.join(POSES)}. Give the file of poses with --poses."
        )
    masks = options.masks or (source / MASKS if (source / MASKS).is_dir() else None)
    names = frozenset(opened.names)
    poses = [
        _complete(pose, names)
        for pose in keypoint_files.read(path, reject=lambda error: left_out.append(str(error)))
    ]
    splits = pictures.split_persons(
        {pose.person for pose in poses}, {"validation": options.validation, "test": options.test}
    )
    pieces = []
    for split in ("train", "validation", "test"):
        chosen = tuple(pose for pose in poses if splits[pose.person] == split)
        # The pieces are numbered within their split, and need no other name.
        every = pictures.Pictures("", split, source, chosen, masks, plain=options.plain)
        pieces += pictures.cut_into_pieces(every)
    return Found(pieces, left_out, _notes(poses, names, source))


def _complete(pose: keypoint_files.Pose, names: frozenset[str]) -> keypoint_files.Pose:
    """The pose with the full name of its image, and with a person.

    Where it names no person, the folder of the image is the person, or the image itself.
    """
    image = pictures.find_image(pose.image, names)
    folder = pathlib.PurePosixPath(image).parent
    # Without persons, pictures of one folder would be taken for strangers, and never be paired.
    person = pose.person or (str(folder) if folder.name else image)
    return dataclasses.replace(pose, image=image, person=person or "unknown")


def _notes(
    poses: list[keypoint_files.Pose], names: frozenset[str], source: pathlib.Path
) -> list[str]:
    """Notes for the user about poses without depth and images without a pose."""
    notes = []
    if flat := sum(pose.joints_mm is None for pose in poses):
        notes.append(f"{flat} of {len(poses)} poses have no depth: all of their joints lie at one")
    used = {pose.image for pose in poses}
    unused = [
        name
        for name in sorted(names - used)
        # Masks are images too, and have no poses.
        if name.lower().endswith(pictures.ENDINGS) and not name.startswith(f"{MASKS}/")
    ]
    if unused:
        notes.append(f"{len(unused)} images of {source} have no pose, such as {unused[0]}")
    return notes
