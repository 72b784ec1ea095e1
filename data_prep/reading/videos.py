"""Reading frames of videos by their numbers.

Damage is found and named, and never shifts the frames behind it.
"""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data_prep.reading.archives import ArchiveError, check_file, import_package

MAX_SIDE = 4096
"""The largest width and height of a frame that is decoded, in pixels."""

MAX_BYTES = 1 << 38
"""The largest size of a video file that is opened, in bytes."""


def count_frames(path: pathlib.Path) -> int:
    """Counts the frames of a video without decoding them.

    Raises:
      ArchiveError: the file is missing or damaged, or holds fewer frames than its header says: one
        that is lost somewhere in it would shift all frames behind.
    """
    with _opened(path) as (container, stream), _damage(path, "read"):
        # Packets without data carry no frame: they only flush the decoder at the end.
        found = sum(packet.size > 0 for packet in container.demux(stream))
        if found < stream.frames:
            raise ArchiveError(
                path, f"holds {found} frames where its header says {stream.frames}: it is damaged"
            )
    if not found:
        raise ArchiveError(path, "holds no frames")
    return found


def read_frames(path: pathlib.Path, wanted: Sequence[int]) -> Iterator[np.ndarray]:
    """Yields frames of a video, in the order in which it shows them.

    The video is decoded from its start to the last wanted frame, for not every container says where
    its frames are; only wanted frames are converted.

    Args:
      path: the path of the video.
      wanted: numbers of frames, from 0, increasing.

    Yields:
      [H, W, 3] uint8 RGB, one for each number.

    Raises:
      ArchiveError: the file is missing or damaged, or ends before the last wanted frame. What was
        yielded before is right.
    """
    todo = iter(wanted)
    following, number, held = next(todo, None), -1, None
    with _opened(path) as (container, stream):
        frames = container.decode(stream)
        while following is not None or held is not None:
            with _damage(path, f"decoded beyond its first {number + 1} frames"):
                frame = next(frames, None)
            # Damage may show only behind the frame that has it, so each waits for the next.
            if held is not None:
                yield held.to_ndarray(format="rgb24")
                held = None
            if frame is None and following is not None:
                raise ArchiveError(path, f"has {number + 1} frames; frame {following} is wanted")
            number += 1
            if frame is not None and frame.is_corrupt:
                raise ArchiveError(path, f"is damaged at frame {number}")
            if number == following:
                held, following = frame, next(todo, None)


@contextlib.contextmanager
def _damage(path: pathlib.Path, what: str) -> Iterator[None]:
    """Turns an error of FFmpeg into an `ArchiveError` of one line."""
    import av

    try:
        yield
    except av.error.FFmpegError as error:
        raise ArchiveError(path, f"cannot be {what} ({error.strerror})") from None


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[tuple[Any, Any]]:
    """Opens a video; gives its container and its first stream of pictures."""
    av = import_package("av", path)
    check_file(path, MAX_BYTES)
    # Titles and comments of old videos are often not UTF-8, and nobody reads them here.
    with _damage(path, "opened as a video"):
        container = av.open(str(path), mode="r", metadata_errors="ignore")
    with container:
        if not container.streams.video:
            raise ArchiveError(path, "holds no video")
        stream = container.streams.video[0]
        width, height = stream.codec_context.width, stream.codec_context.height
        if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
            raise ArchiveError(path, f"has frames of {width} x {height}; up to {MAX_SIDE} are read")
        # Decoders would rather paint over what is missing than say so.
        stream.codec_context.options = {"err_detect": "explode"}
        # Sequences are prepared in processes side by side: threads would not make it faster.
        stream.thread_count = 1
        yield container, stream
