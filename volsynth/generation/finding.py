"""The person whom a photograph shows, found where the user does not say who and where it is."""

import numpy as np
from jaxtyping import Bool, UInt8

from volsynth.errors import UserError
from volsynth.photographs import persons
from volsynth.poses import keypoint_files
from volsynth.poses.keypoint_files import Pose

MASK_EDGE = 0.5
"""The probability from which on a pixel counts as the person's."""

_GREY = 128
"""The level of what is painted over because it is not the person; the networks have seen people on
plain grounds."""

_LEAST_COMMON = 3
"""The fewest joints that a given pose and a person must both have to be compared."""


def find_person(
    image: UInt8[np.ndarray, "H W 3"],
    name: str,
    number: int | None = None,
    mask: Bool[np.ndarray, "H W"] | None = None,
    pose: Pose | None = None,
) -> persons.Person:
    """Finds the person whom the user means.

    Args:
      image: the picture.
      name: what messages call the picture.
      number: which of several persons, 1 for the largest; None for the one of the mask or of the
        pose, or else for the largest.
      mask: where the person is, if that is known.
      pose: the person's joints in pixels of the picture, if they are known.

    Raises:
      UserError: there is nobody, or no person of that number or near the pose.
    """
    image = masked(image, mask)
    if mask is None and pose is not None and pose.joints_px is not None:
        found = _nearest(persons.find_persons(image), pose)
    elif number is None or number == 1:
        found = persons.find_person(image)
    else:
        found = _numbered(persons.find_persons(image), number, name)
    if found is None:
        raise UserError(f"{name}: nobody was found{_where(mask, pose)}; {_remedy(mask, pose)}.")
    return found


def find_persons(
    image: UInt8[np.ndarray, "H W 3"], name: str, mask: Bool[np.ndarray, "H W"] | None = None
) -> list[persons.Person]:
    """Finds all persons of a picture, the largest first.

    Args:
      image: the picture.
      name: what messages call the picture.
      mask: where there are persons at all, if that is known.

    Raises:
      UserError: there is nobody.
    """
    found = persons.find_persons(masked(image, mask))
    if not found:
        raise UserError(f"{name}: nobody was found{_where(mask, None)}.")
    return found


def masked(
    image: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"] | None
) -> UInt8[np.ndarray, "H W 3"]:
    """The picture without what is outside of a mask, so that nobody else is found there."""
    return image if mask is None else np.where(mask[..., None], image, np.uint8(_GREY))


def check_number(number: int | None) -> None:
    """Checks the number of a person.

    Raises:
      UserError: it is below 1.
    """
    if number is not None and number < 1:
        raise UserError(f"--person must be 1 (the largest person) or more, got {number}.")


def _where(mask, pose):
    if mask is not None:
        return " where the mask is white"
    return "" if pose is None else " where the joints are"


def _remedy(mask, pose):
    """What to give in place of what was looked for."""
    if mask is not None:
        return "give a file with the joints, --source-pose, too"
    if pose is not None:
        return "give a file that is white where the person is, --mask, too"
    return (
        "give a picture that shows a person as a tenth of its longer side or more, or say where "
        "the person is: --mask and --source-pose (volsynth studio makes the latter)"
    )


def _numbered(found, number, name):
    """The person of a number from a list; None if the list is empty."""
    if found and number > len(found):
        raise UserError(
            f"{name}: {len(found)} persons were found, so that --person must be from 1 to "
            f"{len(found)}, got {number}; volsynth pose --all shows them."
        )
    return found[number - 1] if found else None


def _nearest(found, pose):
    """The person whose joints are nearest to a pose's; None if nobody is near."""
    pose = keypoint_files.to_skeleton(pose)
    px, known = pose.joints_px, pose.visible
    near = []
    for person in found:
        common = known & person.known
        if common.sum() < _LEAST_COMMON:
            continue
        apart = np.linalg.norm(person.joints_px - px, axis=1)[common].mean()
        # Further than that, it is somebody else.
        if apart < np.ptp(px[known], axis=0).max() / 4:
            near.append((apart, len(near), person))
    return min(near)[2] if near else None
