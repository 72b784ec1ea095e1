"""Folders of generated pictures, one file for each pair: read for scoring, written."""

import pathlib
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from volsynth import conventions
from volsynth.errors import UserError, os_errors_explained
from volsynth.evaluation import pair_lists
from volsynth.images import draw, reader

RESIZE = "Lanczos, antialiased (Pillow)"
"""The protocol's words for how pictures of other sizes are brought to the size of the data set."""

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

Save = Callable[[Float[np.ndarray, "B S S 3"], Mapping[str, np.ndarray]], None]
"""A function that writes the pictures of a batch: (images in [-1, 1], batch)."""


class PictureFolder:
    """A folder with one generated picture for each pair of a list.

    Attributes:
      folder: path of the folder.
      side: side in pixels of the square at which the pictures are scored.
      files: names of the files, in the order of the pairs.
      sizes: (width, height) of the pictures read so far.
      formats: file formats of the pictures read so far, whatever their names say.
    """

    def __init__(self, folder: pathlib.Path, pairs: np.ndarray, side: int) -> None:
        """Looks whether there is a picture for every pair.

        Raises:
          UserError: the folder cannot be read, or lacks pictures.
        """
        self.folder, self.side = folder, side
        # Names alone: each picture is read when its batch is scored.
        with os_errors_explained("read the folder", folder):
            names = {path.name for path in folder.iterdir()}
        self.files, missing = [], []
        for pair in pairs:
            stem = pair_lists.pair_stem(pair[0], pair[-1])
            found = [stem + suffix for suffix in _SUFFIXES if stem + suffix in names]
            # Which of them is meant is not for us to guess.
            if len(found) > 1:
                raise UserError(f"{folder} has two pictures of one pair: {' and '.join(found)}.")
            (self.files if found else missing).append(found[0] if found else f"{stem}.png")
        if missing:
            raise UserError(
                f"{folder} lacks {len(missing)} of {len(pairs)} pictures, the first is "
                f"{missing[0]}; `volsynth data pairs` writes the list of all with their inputs."
            )
        self.sizes: set[tuple[int, int]] = set()
        self.formats: set[str] = set()
        # Keys are tuples of int: rows of an array have no hash.
        self._file_of_pair = {tuple(map(int, pair)): name for pair, name in zip(pairs, self.files)}

    def read_batch(self, batch: Mapping[str, np.ndarray]) -> Float[np.ndarray, "B S S 3"]:
        """Reads the pictures of a batch's pairs.

        Returns:
          The pictures in [-1, 1].

        Raises:
          UserError: a picture cannot be read.
        """
        return np.stack([self._read(tuple(map(int, pair))) for pair in batch["records"]])

    def _read(self, pair):
        picture, kind = reader.read(self.folder / self._file_of_pair[pair])
        # The protocol says what was read, and suffixes can be wrong.
        self.formats.add(kind)
        self.sizes.add((picture.shape[1], picture.shape[0]))
        return conventions.to_float(resize_to_square(picture, self.side))

    @property
    def resize(self) -> str | None:
        """The way in which pictures were resized, for the protocol; None if none was.

        It is known only after all pictures were read.
        """
        others = sorted(size for size in self.sizes if size != (self.side, self.side))
        shapes = ", ".join(f"{width} x {height}" for width, height in others)
        return f"{RESIZE} from {shapes}" if others else None


def resize_to_square(picture: UInt8[np.ndarray, "H W 3"], side: int) -> UInt8[np.ndarray, "S S 3"]:
    """The picture stretched to a square of a given side; itself where it has that size."""
    # A filter would change even a picture that fits, by rounding.
    if picture.shape[:2] == (side, side):
        return picture
    image = Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def make_saver(folder: pathlib.Path) -> Save:
    """A function that writes images of batches as PNG files, each under the name of its pair.

    Args:
      folder: where the files go; it is made where there is none.

    Raises:
      UserError: the folder cannot be made.
    """
    with os_errors_explained("write pictures to", folder):
        folder.mkdir(parents=True, exist_ok=True)

    def save(images, batch):
        # Rows that only fill up the last batch have no pair of their own.
        for image, pair in zip(images[batch["valid"]], batch["records"][batch["valid"]]):
            stem = pair_lists.pair_stem(pair[0], pair[-1])
            draw.save_png(folder / f"{stem}.png", conventions.to_uint8(image))

    return save
