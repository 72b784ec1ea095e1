"""Pictures from files that people bring, as arrays; and folders of them, one for each pair."""

import io
import pathlib
import warnings
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from volsynth import files
from volsynth.data import pairs as pair_lists
from volsynth.data.schema import MAGENTA
from volsynth.errors import UserError
from volsynth.files import File, InMemory

MOST_PIXELS = 64_000_000
"""Of a picture; larger ones are not decoded."""

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif"}

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Kinds of pixels that are read; what has more bits would be cut off."""

RESIZE = "Lanczos, antialiased (Pillow)"


def read_rgb(path: File) -> UInt8[np.ndarray, "H W 3"]:
    """`read`, without the format."""
    return read(path)[0]


def read(path: File) -> tuple[UInt8[np.ndarray, "H W 3"], str]:
    """A picture as RGB, and its format of `FORMATS`; what is transparent is put on magenta.

    Raises:
      UserError: as `read_rgba`.
    """
    picture, kind = _decoded(path)
    if np.all(picture[..., 3] == 255):
        return np.ascontiguousarray(picture[..., :3]), kind
    image = Image.fromarray(picture)
    page = Image.new("RGBA", image.size, (*MAGENTA, 255))
    return np.asarray(Image.alpha_composite(page, image).convert("RGB")), kind


def read_rgba(path: File) -> UInt8[np.ndarray, "H W 4"]:
    """A picture with its alpha channel or an opaque one, turned as its EXIF data says.

    Raises:
      UserError: the file cannot be read, is no picture of `FORMATS` and `MODES`, or is too large.
    """
    return _decoded(path)[0]


def _opened(path):
    return io.BytesIO(path.content) if isinstance(path, InMemory) else files.open_regular(path)


def _decoded(path):
    try:
        with warnings.catch_warnings(), _opened(path) as file:
            # Pillow warns of sizes that are looked at here, and of what it makes good itself.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=tuple(FORMATS)) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise UserError(
                        f"{path}: {image.width} x {image.height} pixels are too many; at most "
                        f"{MOST_PIXELS:,} are read."
                    )
                if image.mode not in MODES:
                    raise UserError(
                        f"{path} has pixels of kind {image.mode}; allowed are 8 bits a channel: "
                        f"{', '.join(MODES)}."
                    )
                kind = str(image.format)
                image = ImageOps.exif_transpose(image)
                has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
                image = image if has_alpha else image.convert("RGB")
                return np.asarray(image.convert("RGBA")), kind
    except FileNotFoundError as error:
        raise UserError(f"{path} is not there.") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: its pixels are too many to be read.") from error
    except UserError:
        raise
    except Exception as error:  # Decoders raise whatever a damaged file leads them to.
        said = getattr(error, "strerror", None) or str(error)
        said = " ".join(said.split())[:120] or type(error).__name__
        known = "" if isinstance(error, UnidentifiedImageError) else f": {said}"
        allowed = ", ".join(FORMATS)
        raise UserError(f"{path} cannot be read as a picture ({allowed}){known}.") from error


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
        picture, kind = read(self.folder / self._of_pair[pair])
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
    from volsynth import draw

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write pictures to {folder}: {error.strerror}.") from error

    def save(images, batch):
        for image, pair in zip(images[batch["valid"]], batch["records"][batch["valid"]]):
            draw.save_png(folder / f"{pair_lists.stem(*pair)}.png", draw.to_uint8(image))

    return save
