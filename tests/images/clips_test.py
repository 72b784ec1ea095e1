"""Clips: what is written is what was given; endings, rates and places that cannot be."""

import builtins
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from volsynth.errors import UserError
from volsynth.images import clips

COLOURS = [(255, 0, 0), (0, 200, 0), (0, 0, 255), (0, 0, 255), (250, 250, 250)]


def frames(height=34, width=50):
    """A colour each; two are alike."""
    return [np.full((height, width, 3), colour, np.uint8) for colour in COLOURS]


def test_a_folder_holds_the_frames_in_order(tmp_path):
    clips.write(tmp_path / "out", iter(frames()), 25)
    found = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in found] == [f"{n:05d}.png" for n in range(5)]
    for path, frame in zip(found, frames()):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), frame)


def test_a_gif_shows_each_frame_for_its_time(tmp_path):
    clips.write(tmp_path / "a.gif", iter(frames()), 20)
    shown = []
    with Image.open(tmp_path / "a.gif") as image:
        assert image.info["loop"] == 0
        for number in range(image.n_frames):
            image.seek(number)
            colour = image.convert("RGB").getpixel((3, 3))
            # A frame that is like the one before becomes a longer one.
            shown += [colour] * (image.info["duration"] // 50)
    assert shown == COLOURS
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_what_a_gif_rounds_off_is_made_good(tmp_path):
    pictures = [np.full((8, 8, 3), n, np.uint8) for n in range(0, 240, 8)]
    clips.write(tmp_path / "a.gif", iter(pictures), 30)
    with Image.open(tmp_path / "a.gif") as image:
        durations = []
        for number in range(image.n_frames):
            image.seek(number)
            durations.append(image.info["duration"])
    assert set(durations) == {30, 40}
    assert sum(durations) == 1000


def test_a_gif_takes_new_colours_when_they_come(tmp_path):
    rng = np.random.default_rng(0)
    early = np.repeat(rng.integers(0, 90, (16, 16, 3), np.uint8), 4, 0)
    late = np.repeat(rng.integers(160, 256, (16, 16, 3), np.uint8), 4, 0)
    count = clips.PALETTE_FRAMES
    pictures = [early, early[::-1]] * (count // 2) + [late, early]
    clips.write(tmp_path / "a.gif", iter(pictures), 10)
    with Image.open(tmp_path / "a.gif") as image:
        for number in (0, 1, count, count + 1):
            image.seek(number)
            shown = np.asarray(image.convert("RGB")).astype(int)
            assert np.abs(shown - pictures[number]).mean() < 8


def test_what_is_still_in_a_gif_costs_little(tmp_path):
    rng = np.random.default_rng(0)
    # More colours than a palette has, alike enough to be rounded to one of its own.
    levels = np.add.outer(np.arange(96), np.arange(96))
    still = np.dstack([levels, 190 - levels, levels // 2]) + rng.integers(0, 2, (96, 96, 3))
    still = still.astype(np.uint8)
    clips.write(tmp_path / "one.gif", iter([still]), 10)
    moving = []
    for at in range(10):
        moving.append(still.copy())
        moving[-1][at : at + 8, at : at + 8] = 0
    clips.write(tmp_path / "ten.gif", iter(moving), 10)
    assert (tmp_path / "ten.gif").stat().st_size < 3 * (tmp_path / "one.gif").stat().st_size


def test_an_mp4_has_the_frames_in_their_colours_and_an_even_size(tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    clips.write(tmp_path / "a.mp4", iter(frames(33, 49)), 12.5)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", tmp_path / "a.mp4"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    said = subprocess.run([command[0], "-i", command[4]], capture_output=True, check=False).stderr
    assert b"12.50 fps" in said
    found = np.frombuffer(raw, np.uint8).reshape(-1, 34, 50, 3)
    assert len(found) == 5
    for frame, colour in zip(found, COLOURS):
        np.testing.assert_allclose(frame.mean(axis=(0, 1)), colour, atol=8)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def broken():
    """Stops after a frame."""
    yield frames()[0]
    raise UserError("no more")


def test_a_folder_that_fails_half_way_is_not_there(tmp_path):
    with pytest.raises(UserError, match="no more"):
        clips.write(tmp_path / "out", broken(), 25)
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    clips.write(tmp_path / "out", iter(frames()), 25)  # An empty one is as good as none.
    assert len(list((tmp_path / "out").iterdir())) == 5


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_what_fails_half_way_leaves_what_was_there(tmp_path, name):
    (tmp_path / name).write_bytes(b"before")
    with pytest.raises(UserError, match="no more"):
        clips.write(tmp_path / name, broken(), 25)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"before"


def test_what_ffmpeg_says_is_passed_on(tmp_path, monkeypatch):
    class Ffmpeg:
        @staticmethod
        def get_ffmpeg_exe():
            script = tmp_path / "ffmpeg"
            script.write_text("#!/bin/sh\necho it went wrong >&2\nexit 3\n")
            script.chmod(0o755)
            return str(script)

    monkeypatch.setattr(clips, "_ffmpeg", lambda: Ffmpeg)
    with pytest.raises(UserError, match="ffmpeg could not write the clip: it went wrong"):
        clips.write(tmp_path / "a.mp4", iter(frames()), 25)
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.parametrize(
    ("name", "fps", "message"),
    [
        ("a.avi", 25, r"must end in \.mp4 or \.gif, or be a folder"),
        ("a.gif", 0, r"frames per second of \.gif files must be from 1 to 50, got 0"),
        ("a.gif", 60, "from 1 to 50, got 60"),
        ("frames", 121, "frames per second must be from 1 to 120, got 121"),
        ("file", 25, "file is there and is a file"),
        ("folder.gif", 25, r"folder\.gif is there and is a folder"),
        ("file/a.gif", 25, r"cannot write .*file/a\.gif: Not a directory"),
        ("a.gif", float("nan"), "got nan"),
        ("full", 25, "full is not empty; give a new folder"),
    ],
)
def test_clips_that_cannot_be(tmp_path, name, fps, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(UserError, match=message):
        clips.check(tmp_path / name, fps)


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        clips.write(tmp_path / "file" / "a.gif", iter(frames()), 25)


def test_mp4_needs_its_extra(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "imageio_ffmpeg":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "imageio_ffmpeg", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"MP4 needs the extra `video`: pip install"):
        clips.check(tmp_path / "a.mp4", 25)
    clips.check(tmp_path / "a.gif", 25)
