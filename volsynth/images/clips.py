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
from volsynth.errors import UserError, os_errors_explained
from volsynth.images import draw

SUFFIXES = (".mp4", ".gif", "")
"""The endings that the names of clips may have; a name without an ending is a folder's."""

LEAST_FPS, MOST_FPS = 1.0, 120.0
"""The range of frames per second of a clip."""

GIF_MOST_FPS = 50.0
"""The largest number of frames per second of a GIF; viewers slow down faster ones."""

PALETTE_FRAMES = 16
"""The number of first frames of a GIF from which the palette of all its frames is made."""

PALETTE_ERROR = 3.0
"""The largest mean error of a frame's colours in the common palette, in levels of 255; a frame with
a larger error gets a palette of its own."""

_QUALITY = 18
"""The constant rate factor of x264, from 0 (lossless) to 51, by default 23; lower than the default
because clothes have fine patterns."""


def check_format(path: str | os.PathLike[str], fps: float) -> None:
    """Checks that there are clips with a name's ending and so many frames per second.

    Raises:
      UserError: the name has another ending, frames come too fast or too slowly, or what writes MP4
        is not installed.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in SUFFIXES:
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
    """Checks that a clip can be written, before its pictures are made.

    Raises:
      UserError: as `check_format`; or the place is taken, or cannot be written.
    """
    path = pathlib.Path(path)
    check_format(path, fps)
    if not path.suffix and path.is_dir() and any(path.iterdir()):
        raise UserError(f"{path} is not empty; give a new folder for the frames.")
    if path.exists() and path.is_dir() != (not path.suffix):
        raise UserError(f"{path} is there and is {'a folder' if path.is_dir() else 'a file'}.")
    with os_errors_explained("write", path):
        files.check_place(path)


def write(
    path: str | os.PathLike[str], frames: Iterable[UInt8[np.ndarray, "H W C"]], fps: float
) -> None:
    """Writes a clip; if that fails, nothing of it is left behind.

    Args:
      path: *.mp4, *.gif or a folder, for files 00000.png, 00001.png, ....
      frames: pictures of one size, at least one, RGB, or RGBA for a folder; they are taken one at a
        time, so that a generator need not hold all of them.
      fps: frames per second.

    Raises:
      UserError: as `check`, or the file cannot be written.
    """
    path = pathlib.Path(path)
    check(path, fps)
    with os_errors_explained("write", path), _temporary(path) as temporary:
        _WRITERS[path.suffix.lower()](temporary, iter(frames), fps)


@contextlib.contextmanager
def _temporary(path):
    """A path beside that of the clip, which is renamed to it if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # With the clip's own ending, from which Pillow tells the format.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix.lower()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def _write_folder(path, frames: Iterator[np.ndarray], fps):
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


def _write_mp4(path, frames: Iterator[np.ndarray], fps):
    first = _even(next(frames))
    height, width = first.shape[:2]
    given = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps:g} -i -".split()
    # Phones and browsers know no other chroma format than yuv420p, and begin to play before all of
    # the file is there only if its index comes first.
    made = f"-an -c:v libx264 -crf {_QUALITY} -pix_fmt yuv420p -f mp4 -movflags +faststart".split()
    command = [_ffmpeg().get_ffmpeg_exe(), "-y", "-loglevel", "error", *given, *made, str(path)]
    # To a file: a pipe that nobody reads would fill and stop ffmpeg.
    with tempfile.TemporaryFile() as said:
        # The package's own way to start it forks, which JAX's threads do not survive.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
        )
        try:
            # ffmpeg closes the pipe if it fails; what it said tells more than the broken pipe.
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
    """The frame with an even number of rows and columns, the last repeated if need be.

    yuv420p stores one colour for two by two pixels.
    """
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), "edge")


def _write_gif(path, frames: Iterator[np.ndarray], fps):
    first = list(itertools.islice(frames, PALETTE_FRAMES))
    # One palette for all frames: what stands still is the same to the bit, and is stored once.
    palette = _palette(np.concatenate(first))

    def images():
        """Frames with their durations; Pillow asks for one at a time."""
        shown = 0
        for number, frame in enumerate(itertools.chain(first, frames), 1):
            image = _paletted(frame, palette)
            # GIF counts hundredths of a second; what is rounded off is made good by the next frame.
            until = round(100 * number / fps)
            image.info["duration"], shown = 10 * (until - shown), until
            yield image

    rest = images()
    next(rest).save(path, save_all=True, append_images=rest, loop=0, disposal=1)


def _palette(pixels):
    # Without dithering: its noise would differ from frame to frame, and flicker.
    return Image.fromarray(pixels).quantize(256, dither=Image.Dither.NONE)


def _paletted(frame, palette):
    """The frame in the colours of a palette, or of its own if they are too far from the frame's."""
    image = Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
    apart = np.abs(np.asarray(image.convert("RGB")).astype(np.int16) - frame)
    return image if apart.mean() <= PALETTE_ERROR else _palette(frame)


_WRITERS = {".mp4": _write_mp4, ".gif": _write_gif, "": _write_folder}
