"""The person to show: a picture, its mask, and a file of poses or an estimator."""

import dataclasses
import os
import pathlib

from volsynth.errors import UserError
from volsynth.export import exported_model
from volsynth.generation import estimation
from volsynth.generation.persons import Person, Side, crop_person
from volsynth.generation.pictures import read_picture
from volsynth.poses import keypoint_files
from volsynth.poses.keypoint_files import Pose


@dataclasses.dataclass(frozen=True)
class Source:
    """The files that say whom to show.

    Attributes:
      image: picture of the person, in a format that `images.reader` reads.
      mask: picture that is white where the person is; None if the image is transparent or magenta
        wherever the person is not.
      pose: file of poses with the person's joints in the image; None to have the estimator find
        them.
      estimator: exported model that finds poses.
      also: a further picture of the person, such as one from behind, with its mask and its pose;
        None if there is none.
    """

    image: str | os.PathLike[str]
    mask: str | os.PathLike[str] | None = None
    pose: str | os.PathLike[str] | None = None
    estimator: str | os.PathLike[str] | None = None
    also: "Source | None" = None


def read_person(
    source: Source,
    side: Side,
    estimator: exported_model.Model | None = None,
    keep_picture: bool = True,
) -> Person:
    """Reads the person of a source, at a model's size, with that of the further picture.

    Args:
      source: the files.
      side: side of the model's images, as for `persons.crop_person`.
      estimator: the source's estimator, loaded; it is asked only if the source has no pose.
      keep_picture: whether the person keeps the decoded picture, for the background behind it; a
        large one takes hundreds of megabytes.

    Raises:
      UserError: a file cannot be read or does not fit, or there is neither pose nor estimator.
    """
    person = _read_person(source, side, estimator, "--source-pose")
    if source.also is not None:
        further = _read_person(source.also, person.crop.side, estimator, "--also-pose")
        person = dataclasses.replace(person, also=dataclasses.replace(further, picture=None))
    return person if keep_picture else dataclasses.replace(person, picture=None)


def _read_person(source, side, estimator, option):
    """The person of one picture, which is kept; `option` says where a pose is to be given."""
    picture = read_picture(source.image, source.mask)
    # A file of poses is somebody's word, and counts before what an estimator would find.
    if source.pose is not None:
        pose = read_source_pose(source.pose, source.image)
    elif estimator is not None:
        name = pathlib.Path(source.image).name
        pose = estimation.estimate_pose(estimator, picture.image, picture.mask, name)
        pose = estimation.hide_joints_outside(pose, picture.mask.shape)
    else:
        raise UserError(
            f"give {option}, a file that says where the person's joints are in the picture "
            "(volsynth studio makes one as you place them), or --estimator, an exported model that "
            "finds them."
        )
    person = crop_person(picture.image, picture.mask, pose, side)
    return dataclasses.replace(person, picture=picture)


def read_source_pose(path: str | os.PathLike[str], image: str | os.PathLike[str]) -> Pose:
    """Reads the pose of a picture from a file of poses.

    Args:
      path: file with a single pose, or with several of which one names the picture.
      image: path of the picture; only its name counts, with or without its ending.

    Raises:
      UserError: the file cannot be read, or has no pose or several for that name.
    """
    poses = keypoint_files.read(path)
    image = pathlib.Path(image)
    if len(poses) != 1:
        names = (image.name, image.stem)
        # OpenPose's files are called after the picture without its ending.
        found = [pose for pose in poses if pathlib.PurePosixPath(pose.image).name in names]
        if len(found) != 1:
            raise UserError(
                f"{path} has {len(poses)} poses, {len(found)} of them of an image "
                f"{image.name}; one is needed."
            )
        poses = found
    return poses[0]
