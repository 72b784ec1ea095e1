"""Clips: pictures of a motion, one after another, as MP4, GIF, or a folder of PNG files."""

import contextlib
import itertools
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from volsynth import files
from volsynth.errors import UserError
from volsynth.images import draw

KINDS = (".mp4", ".gif", "")
"""Endings of names; without one it is a folder."""

LEAST_FPS, MOST_FPS = 1.0, 120.0

GIF_MOST_FPS = 50.0
"""Viewers show what is faster at a speed of their own."""

PALETTE_FRAMES = 16
"""The first frames of a GIF, whose colours are those of the others, too."""

PALETTE_ERROR = 3.0
"""Levels, mean over a frame; with more, the frame gets colours of its own."""

_QUALITY = 18
"""Of x264, where 0 is without loss; clothes have fine patterns."""


def check_kind(path: str | os.PathLike[str], fps: float) -> None:
    """Whether there are clips of a name's ending and so many frames per second.

    Raises:
      UserError: the name has another ending, frames come too fast or too slowly, or what writes MP4
        is not installed.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in KINDS:
        raise UserError(f"a clip must end in .mp4 or .gif, or be a folder, got {path}.")
    most = GIF_MOST_FPS if path.suffix.lower() == ".gif" else MOST_FPS
    if not LEAST_FPS <= fps <= most:
        kind = f" of {path.suffix} files" if most < MOST_FPS else ""
        raise UserError(
            f"frames per second{kind} must be from {LEAST_FPS:g} to {most:g}, got {fps:g}."
        )
    if path.suffix.lower() == ".mp4":
        _ffmpeg()


def check(path: str | os.PathLike[str], fps: float) -> None:
    """Whether a clip can be written; for those who want to know before its pictures are made.

    Raises:
      UserError: as `check_kind`; or the place is taken, or cannot be written.
    """
    path = pathlib.Path(path)
    check_kind(path, fps)
    if not path.suffix and path.is_dir() and any(path.iterdir()):
        raise UserError(f"{path} is not empty; give a new folder for the frames.")
    if path.exists() and path.is_dir() != (not path.suffix):
        raise UserError(f"{path} is there and is {'a folder' if path.is_dir() else 'a file'}.")
    try:
        files.check_place(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def write(
    path: str | os.PathLike[str], frames: Iterable[UInt8[np.ndarray, "H W C"]], fps: float
) -> None:
    """Writes a clip, whole or not at all.

    Args:
      path: *.mp4, *.gif or a folder, for files 00000.png, 00001.png, ....
      frames: at least one, of one size, RGB, or RGBA for a folder; asked for one at a time.
      fps: frames per second.

    Raises:
      UserError: as `check`, or the file cannot be written.
    """
    path = pathlib.Path(path)
    check(path, fps)
    try:
        with _whole(path) as temporary:
            _WRITERS[path.suffix.lower()](temporary, iter(frames), fps)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path, error):
    return UserError(f"cannot write {path}: {error.strerror or error}.")


@contextlib.contextmanager
def _whole(path):
    """A name beside it, with its ending, for what takes its place in the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix.lower()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def _folder(path, frames: Iterator[np.ndarray], fps):
    del fps  # Files have no time.
    for number, frame in enumerate(frames):
        draw.save_png(path / f"{number:05d}.png", Image.fromarray(frame))


def _ffmpeg():
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UserError(
            "MP4 needs the extra `video`: pip install 'volsynth[video]'. GIF and a folder of "
            "frames need nothing more."
        ) from error
    return imageio_ffmpeg


def _mp4(path, frames: Iterator[np.ndarray], fps):
    first = _even(next(frames))
    height, width = first.shape[:2]
    taken = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps:g} -i -".split()
    made = f"-an -c:v libx264 -crf {_QUALITY} -pix_fmt yuv420p -f mp4 -movflags +faststart".split()
    command = [_ffmpeg().get_ffmpeg_exe(), "-y", "-loglevel", "error", *taken, *made, str(path)]
    with tempfile.TemporaryFile() as said:
        # The package's own way to start it forks, which JAX's threads do not survive.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
        )
        try:
            with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
                pipe.write(first.tobytes())
                for frame in frames:
                    pipe.write(_even(frame).tobytes())
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
        if process.returncode:
            said.seek(0)
            reason = " ".join(said.read(500).decode(errors="replace").split())
            raise UserError(f"ffmpeg could not write the clip: {reason}")


def _even(frame):
    """With its last row and column twice where their number is odd: colours are stored in pairs."""
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), "edge")


def _gif(path, frames: Iterator[np.ndarray], fps):
    first = list(itertools.islice(frames, PALETTE_FRAMES))
    # One palette for all: what is still stays the same to the bit, and is stored once.
    palette = _palette(np.concatenate(first))

    def images():
        shown = 0
        for number, frame in enumerate(itertools.chain(first, frames), 1):
            image = _paletted(frame, palette)
            # In hundredths of a second; what is rounded off is made good by the next frame.
            until = round(100 * number / fps)
            image.info["duration"], shown = 10 * (until - shown), until
            yield image

    rest = images()
    next(rest).save(path, save_all=True, append_images=rest, loop=0, disposal=1)


def _palette(pixels):
    return Image.fromarray(pixels).quantize(256, dither=Image.Dither.NONE)


def _paletted(frame, palette):
    """A frame in the colours of a palette, or of its own where that one has not got them."""
    image = Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
    apart = np.abs(np.asarray(image.convert("RGB")).astype(np.int16) - frame)
    return image if apart.mean() <= PALETTE_ERROR else _palette(frame)


_WRITERS = {".mp4": _mp4, ".gif": _gif, "": _folder}
