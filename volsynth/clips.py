"""Clips: pictures of a motion, one after another, as MP4, GIF, or a folder of PNG files."""

import contextlib
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from volsynth import draw
from volsynth.errors import UserError

KINDS = (".mp4", ".gif", "")
"""Endings of names; without one it is a folder."""

LEAST_FPS, MOST_FPS = 1.0, 120.0

_QUALITY = 18
"""Of x264, where 0 is without loss; clothes have fine patterns."""


def check(path: str | os.PathLike[str], fps: float) -> None:
    """Whether a clip can be written; for those who want to know before its pictures are made.

    Raises:
      UserError: the name has another ending, frames come too fast or too slowly, or what writes MP4
        is not installed.
    """
    path = pathlib.Path(path)
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


def write(
    path: str | os.PathLike[str], frames: Iterable[UInt8[np.ndarray, "H W C"]], fps: float
) -> None:
    """Writes a clip, whole or, but for a folder, not at all.

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
        if not path.suffix:
            for number, frame in enumerate(frames):
                draw.save_png(path / f"{number:05d}.png", Image.fromarray(frame))
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
    images = (Image.fromarray(frame) for frame in frames)
    # GIF counts in hundredths of a second.
    duration = max(round(100 / fps), 2) * 10
    next(images).save(
        path, save_all=True, append_images=images, duration=duration, loop=0, disposal=1
    )
