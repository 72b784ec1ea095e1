"""Folders of generated pictures, one file for each pair: read for scoring, written."""

import pathlib
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from volsynth.errors import UserError
from volsynth.evaluation import pair_lists
from volsynth.images import reader

RESIZE = "Lanczos, antialiased (Pillow)"


class Folder:
    """A folder with one generated picture for each pair of a list.

    Attributes:
      folder: where they are.
      side: that they are scored at.
      files: of each pair, in order.
      sizes: (width, height) that those read so far have.
      formats: that they have, whatever their names say.
    """

    def __init__(self, folder: pathlib.Path, pairs: np.ndarray, side: int) -> None:
        """Looks whether every picture is there.

        Raises:
          UserError: the folder cannot be read, or lacks pictures.
        """
        self.folder, self.side = folder, side
        try:
            names = {path.name for path in folder.iterdir()}
        except OSError as error:
            raise UserError(f"cannot read the folder {folder}: {error.strerror}.") from error
        self.files, missing = [], []
        for pair in pairs:
            stem = pair_lists.stem(*pair)
            found = [stem + suffix for suffix in _SUFFIXES if stem + suffix in names]
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
        self._of_pair = {tuple(map(int, pair)): name for pair, name in zip(pairs, self.files)}

    def make(self, batch: Mapping[str, np.ndarray]) -> Float[np.ndarray, "B S S 3"]:
        """The pictures of a batch's pairs, [-1, 1]."""
        return np.stack([self._read(tuple(map(int, pair))) for pair in batch["records"]])

    def _read(self, pair):
        picture, kind = reader.read(self.folder / self._of_pair[pair])
        self.formats.add(kind)
        self.sizes.add((picture.shape[1], picture.shape[0]))
        return scaled(picture, self.side).astype(np.float32) / 127.5 - 1

    @property
    def resize(self) -> str | None:
        """How pictures of other sizes were brought to theirs, for the protocol; after reading."""
        others = sorted(size for size in self.sizes if size != (self.side, self.side))
        shapes = ", ".join(f"{width} x {height}" for width, height in others)
        return f"{RESIZE} from {shapes}" if others else None


def scaled(picture: UInt8[np.ndarray, "H W 3"], side: int) -> UInt8[np.ndarray, "S S 3"]:
    """A picture at the size of a square, whatever its shape was."""
    if picture.shape[:2] == (side, side):
        return picture
    image = Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

Save = Callable[[Float[np.ndarray, "B S S 3"], Mapping[str, np.ndarray]], None]


def saver(folder: pathlib.Path) -> Save:
    """Writes images of batches as PNG files, each under the name of its pair.

    Raises:
      UserError: the folder cannot be made.
    """
    from volsynth import conventions
    from volsynth.images import draw

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write pictures to {folder}: {error.strerror}.") from error

    def save(images, batch):
        for image, pair in zip(images[batch["valid"]], batch["records"][batch["valid"]]):
            draw.save_png(folder / f"{pair_lists.stem(*pair)}.png", conventions.to_uint8(image))

    return save
