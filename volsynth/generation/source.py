"""The person to show: a picture, and what says who and where in it the person is."""

import dataclasses
import os
import pathlib

from volsynth.errors import UserError
from volsynth.export import exported_model
from volsynth.generation import estimation, finding
from volsynth.generation.persons import Person, Side, crop_person
from volsynth.generation.pictures import Picture, read_picture
from volsynth.poses import keypoint_files
from volsynth.poses.keypoint_files import Pose


@dataclasses.dataclass(frozen=True)
class Source:
    """The files that say whom to show. A picture is enough: what is not given is found in it.

    Attributes:
      image: picture of the person, in a format that `images.reader` reads.
      mask: picture that is white where the person is; None to take what is neither transparent nor
        magenta, or else what is found.
      pose: file of poses with the person's joints in the image; None to find them.
      estimator: exported model that finds poses; None for the networks of `photographs`.
      also: a further picture of the person, such as one from behind, with its mask and its pose;
        None if there is none.
      person: which of several persons in the image, 1 for the largest; None for the one of the mask
        or of the pose, or else for the largest.
    """

    image: str | os.PathLike[str]
    mask: str | os.PathLike[str] | None = None
    pose: str | os.PathLike[str] | None = None
    estimator: str | os.PathLike[str] | None = None
    also: "Source | None" = None
    person: int | None = None


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
      UserError: a file cannot be read or does not fit, or the person is not found.
    """
    person = _read_person(source, side, estimator)
    if source.also is not None:
        further = _read_person(source.also, person.crop.side, estimator)
        person = dataclasses.replace(person, also=dataclasses.replace(further, picture=None))
    return person if keep_picture else dataclasses.replace(person, picture=None)


def _read_person(source, side, estimator):
    """The person of one picture, which is kept."""
    picture, pose = read_source(source, estimator)
    person = crop_person(picture.image, picture.mask, pose, side)
    return dataclasses.replace(person, picture=picture)


def read_source(
    source: Source, estimator: exported_model.Model | None = None
) -> tuple[Picture, Pose]:
    """Reads a source's picture with the person's mask, and the person's pose in it.

    Args:
      source: the files, of which `also` is not read.
      estimator: the source's estimator, loaded.

    Raises:
      UserError: a file cannot be read or does not fit, or the person is not found.
    """
    finding.check_number(source.person)
    picture = read_picture(source.image, source.mask)
    name = pathlib.Path(source.image).name
    # A file of poses is somebody's word, and counts before what would be found.
    pose = read_source_pose(source.pose, source.image) if source.pose is not None else None
    if source.person is not None and not (picture.mask is None and pose is None):
        raise UserError(
            f"{name}: --person {source.person} chooses among the persons that are found, but the "
            f"{'joints say' if picture.mask is None else 'mask says'} already who is meant; leave "
            "out one of the two."
        )
    if picture.mask is None or (pose is None and estimator is None):
        found = finding.find_person(picture.image, name, source.person, picture.mask, pose)
        if picture.mask is None:
            picture = dataclasses.replace(picture, mask=found.mask >= finding.MASK_EDGE)
        if pose is None and estimator is None:
            pose = found.pose(name)
    if pose is None:
        pose = estimation.estimate_pose(estimator, picture.image, picture.mask, name)
        pose = estimation.hide_joints_outside(pose, picture.mask.shape)
    return picture, pose


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
