"""Clips: pictures of a motion, one after another, as MP4, GIF, or a folder of PNG files."""

import contextlib
import os
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from volsynth import draw
from volsynth.errors import UserError

KINDS = (".mp4", ".gif", "")
"""Endings of names; without one it is a folder."""

LEAST_FPS, MOST_FPS = 1.0, 120.0

_QUALITY = 8
"""Of 10; clothes have fine patterns."""


def check(path: pathlib.Path, fps: float) -> None:
    """Whether a clip can be written; for those who want to know before its pictures are made.

    Raises:
      UserError: the name has another ending, frames come too fast or too slowly, or what writes MP4
        is not installed.
    """
    if path.suffix.lower() not in KINDS:
        raise UserError(f"a clip must end in .mp4 or .gif, or be a folder, got {path}.")
    if not LEAST_FPS <= fps <= MOST_FPS:
        raise UserError(
            f"frames per second must be from {LEAST_FPS:g} to {MOST_FPS:g}, got {fps:g}."
        )
    if path.suffix.lower() == ".mp4":
        _ffmpeg()
    if not path.suffix and path.is_dir() and any(path.iterdir()):
        raise UserError(f"{path} is not empty; give a new folder for the frames.")


def write(path: pathlib.Path, frames: Iterable[UInt8[np.ndarray, "H W 3"]], fps: float) -> None:
    """Writes a clip, whole or, but for a folder, not at all.

    Args:
      path: *.mp4, *.gif or a folder, for files 00000.png, 00001.png, ....
      frames: at least one, of one size; asked for one at a time.
      fps: frames per second.

    Raises:
      UserError: as `check`, or the file cannot be written.
    """
    check(path, fps)
    try:
        if not path.suffix:
            for number, frame in enumerate(frames):
                draw.save_png(path / f"{number:05d}.png", frame)
            return
        with _whole(path) as temporary:
            (_mp4 if path.suffix.lower() == ".mp4" else _gif)(temporary, iter(frames), fps)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}.") from error


@contextlib.contextmanager
def _whole(path):
    """A file beside it that takes its place in the end; writers want names, with endings."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix.lower()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
    size = (first.shape[1], first.shape[0])
    writer = _ffmpeg().write_frames(
        str(path), size, fps=fps, quality=_QUALITY, macro_block_size=2, ffmpeg_log_level="error"
    )
    writer.send(None)
    try:
        writer.send(first)
        for frame in frames:
            writer.send(_even(frame))
    finally:
        writer.close()


def _even(frame):
    """With its last row and column twice where their number is odd: colours are stored in pairs."""
    height, width = frame.shape[:2]
    return np.ascontiguousarray(np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), "edge"))


def _gif(path, frames: Iterator[np.ndarray], fps):
    images = (Image.fromarray(frame) for frame in frames)
    # GIF counts in hundredths of a second.
    duration = max(round(100 / fps), 2) * 10
    next(images).save(
        path, save_all=True, append_images=images, duration=duration, loop=0, disposal=1
    )
