"""Pieces of data sets of single pictures with one pose each, and splits of such data sets."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from data_prep.building.sighting import Camera, Sighting
from data_prep.errors import SightingError
from data_prep.reading import images, placing, sources
from volsynth.images import masks
from volsynth.ops import geometry
from volsynth.poses.keypoint_files import Pose

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""The endings of images that the names in files of poses may leave out."""

PICTURES_PER_PIECE = 128
"""The number of pictures of a piece: as many are lost at most when a build is killed."""

_OPAQUE = 128
"""The level, from 0 to 255, from which on a mask or an alpha channel means the person."""


@dataclasses.dataclass(frozen=True)
class Pictures:
    """A piece that consists of some pictures of a source, with their poses.

    Attributes:
      name: the name of the piece, unique in its split.
      split: the split that all of them belong to.
      source: folder or archive of the images; poses name images by their paths in it.
      poses: the poses of the persons, each with the name of its image.
      masks: folder or archive with a mask for each image. None where there are none: then the alpha
        channel counts, then a background of magenta.
      mask_names: the name of the mask of each image; empty where a mask has the name of its image,
        as `*.png`.
      plain: whether, failing all these, the background may be what is joined to the border and has
        its colour.
      frame: width and height of the pictures that `joints_px` refer to, whatever size the images
        have; None where they refer to the images.
      stamps: a text that changes when a file of the piece does.
    """

    name: str
    split: str
    source: pathlib.Path
    poses: tuple[Pose, ...]
    masks: pathlib.Path | None = None
    mask_names: tuple[str, ...] = ()
    plain: bool = False
    frame: tuple[int, int] | None = None
    stamps: str = ""

    def sightings(self) -> Iterator[Sighting | SightingError]:
        """Yields a sighting, or an error, for each pose; see `pieces.Piece`."""
        for pose, mask_name in zip(self.poses, self._mask_names()):
            try:
                yield self._sighting(pose, mask_name)
            except SightingError as error:
                yield error

    def _mask_names(self) -> Sequence[str]:
        # An image without a name is an error of its own.
        return self.mask_names or [
            str(pathlib.PurePosixPath(pose.image or "none").with_suffix(".png"))
            for pose in self.poses
        ]

    def _sighting(self, pose: Pose, mask_name: str) -> Sighting:
        where = f"{self.source}/{pose.image}"
        pixels = images.read(sources.read(self.source, pose.image), where)
        height, width = pixels.shape[:2]
        # Joints of lists are often given for a resized copy of the image.
        if pose.joints_px is not None and self.frame is not None:
            scale = np.array([width, height]) / self.frame
            pose = dataclasses.replace(pose, joints_px=pose.joints_px * scale)
        px, placed = _placed(pose, (height, width), where)
        return Sighting(
            image=pixels[..., :3],
            mask=self._mask(mask_name, pixels, where),
            joints_px=px,
            joints_mm=placed.joints_mm,
            visible=pose.visible,
            order=pose.order,
            # The camera is the middle of its own world: pictures say nothing of another.
            camera=Camera(placed.intrinsics, np.eye(3), np.zeros(3), np.zeros(5)),
            person=pose.person,
            outfit=pose.outfit or "a",
            action=pose.action or "unknown",
            camera_id=pose.camera or "unknown",
            frame=pose.frame,
            where=where,
        )

    def _mask(self, name: str, pixels: np.ndarray, where: str) -> np.ndarray:
        """The person in an image [H, W, 4]: by the first of four ways that there is."""
        if self.masks is not None:
            at = f"{self.masks}/{name}"
            mask = images.read(sources.read(self.masks, name), at)
            if mask.shape != pixels.shape:
                raise SightingError(
                    at,
                    f"has {mask.shape[1]} x {mask.shape[0]} pixels, its image "
                    f"{pixels.shape[1]} x {pixels.shape[0]}",
                )
            # Masks may be grey or coloured; white is the person.
            return mask[..., :3].mean(axis=-1) >= _OPAQUE
        # An image that is opaque all over was read without an alpha channel, or has one that says
        # nothing.
        if not np.all(pixels[..., 3] == 255):
            return pixels[..., 3] >= _OPAQUE
        if masks.is_on_magenta(pixels[..., :3]):
            return masks.not_magenta(pixels[..., :3])
        if self.plain:
            return masks.not_plain(pixels[..., :3])
        raise SightingError(
            where,
            "has no mask: give one in masks/, an alpha channel, or magenta for its background; "
            "with --plain the background may be of any one colour",
        )


def _placed(pose: Pose, size: tuple[int, int], where: str) -> tuple[np.ndarray, placing.Placed]:
    """The joints in pixels, and the pose in front of a camera."""
    if pose.joints_px is not None:
        return pose.joints_px, placing.place(
            pose.joints_px, pose.joints_mm, pose.visible, size, pose.intrinsics
        )
    if pose.intrinsics is None or np.any(pose.joints_mm[pose.visible, 2] <= 0):
        raise SightingError(
            where,
            "has a pose without 'joints_px', and without 'intrinsics' and joints in front of the "
            "camera to project",
        )
    # A joint that is not known may have any depth; one of zero would divide by zero.
    depth = np.where(pose.visible, pose.joints_mm[:, 2], 1.0)
    mm = np.concatenate([pose.joints_mm[:, :2], depth[:, None]], axis=1)
    placed = placing.Placed(pose.joints_mm, pose.intrinsics, False)
    return geometry.project(mm, pose.intrinsics), placed


def find_image(name: str, names: frozenset[str]) -> str:
    """The name of an image among those of a source; its ending is added where it was left out."""
    if name in names:
        return name
    return next((name + ending for ending in ENDINGS if name + ending in names), name)


def cut_into_pieces(pictures: Pictures) -> Iterator[Pictures]:
    """Yields pieces of `PICTURES_PER_PIECE` pictures each, with the stamps of their files."""
    for start in range(0, len(pictures.poses), PICTURES_PER_PIECE):
        span = slice(start, start + PICTURES_PER_PIECE)
        piece = dataclasses.replace(
            pictures,
            name=f"{pictures.name}{start // PICTURES_PER_PIECE:05d}",
            poses=pictures.poses[span],
            mask_names=pictures.mask_names[span],
        )
        # One hash for all files: a piece with a changed file is another piece, and made anew.
        digest = hashlib.sha256()
        for pose, mask_name in zip(piece.poses, piece._mask_names()):
            digest.update(sources.stamp(piece.source, pose.image).encode())
            if piece.masks is not None:
                digest.update(sources.stamp(piece.masks, mask_name).encode())
        yield dataclasses.replace(piece, stamps=digest.hexdigest())


def split_persons(persons: set[str], shares: dict[str, float]) -> dict[str, str]:
    """The split of each person, which is a function of the names alone.

    Args:
      persons: ids of the persons.
      shares: the share of the persons for each split besides "train". A share above zero is one
        person at least where there are more persons than splits.
    """
    # By a hash: by their names, persons who are alike (one family, one day) would go to one split.
    ordered = sorted(persons, key=lambda person: hashlib.sha256(person.encode()).digest())
    result = dict.fromkeys(ordered, "train")
    start = 0
    for split, share in shares.items():
        count = round(share * len(ordered))
        if share > 0 and len(ordered) > len(shares):
            count = max(count, 1)
        for person in ordered[start : start + count]:
            result[person] = split
        start += count
    return result
