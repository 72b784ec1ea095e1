"""Pictures that people bring: modes, formats, sizes, and files that are none."""

import contextlib
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from volsynth.errors import UserError
from volsynth.evaluation import picture_folders
from volsynth.images import reader


def _noise(height=6, width=9, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_what_is_written_without_loss_is_read(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(_noise()).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    np.testing.assert_array_equal(reader.read_rgb(path), _noise())


def test_jpeg_comes_near_and_grey_has_three_channels(tmp_path):
    grey = np.full((16, 16), 90, np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.jpg", quality=95)
    found = reader.read_rgb(tmp_path / "a.jpg")
    assert found.shape == (16, 16, 3)
    np.testing.assert_allclose(found, 90, atol=2)


def test_what_is_transparent_becomes_magenta(tmp_path):
    picture = _noise(channels=4)
    picture[0, 0, 3], picture[0, 1, 3], picture[0, 2] = 0, 255, (100, 200, 0, 128)
    Image.fromarray(picture).save(tmp_path / "a.png")
    found = reader.read_rgb(tmp_path / "a.png")
    np.testing.assert_array_equal(found[0, 0], (255, 0, 255))
    np.testing.assert_array_equal(found[0, 1], picture[0, 1, :3])
    np.testing.assert_allclose(found[0, 2], (177, 100, 127), atol=1)
    palette = Image.fromarray(_noise()).convert("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    palette.save(tmp_path / "p.png")
    np.testing.assert_array_equal(reader.read_rgb(tmp_path / "p.png")[0, 0], (255, 0, 255))


@pytest.mark.parametrize("mode", ["I;16", "F", "I"])
def test_more_than_8_bits_are_not_cut_off_but_refused(tmp_path, mode):
    path = tmp_path / "a.tif"
    Image.new(mode, (4, 4)).save(path)
    with pytest.raises(UserError, match=rf"has pixels of kind {mode}; allowed are 8 bits"):
        reader.read_rgb(path)


def test_the_format_is_that_of_the_bytes_and_not_of_the_name(tmp_path):
    Image.fromarray(_noise()).save(tmp_path / "a.png", "JPEG")
    assert reader.read(tmp_path / "a.png")[1] == "JPEG"


def _png_header(width, height):
    """A PNG that says how large it is, and ends with the first of its pixels."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + b"x" * 9)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        for body in chunks
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not there"),
        (b"", "cannot be read as a picture"),
        (b"GIF89a" + bytes(40), r"cannot be read as a picture \(PNG, JPEG, WEBP, BMP, TIFF\)"),
        (_png_header(4, 4)[:20], "cannot be read as a picture"),
        (_png_header(9000, 9000), "9000 x 9000 pixels are too many; at most 64,000,000"),
        (_png_header(30_000, 30_000), "pixels are too many"),
        (_png_header(4, 4), r"cannot be read as a picture \(PNG, .*\): "),
    ],
)
def test_files_that_are_no_pictures(tmp_path, content, message):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        reader.read_rgb(path)


def test_the_limit_of_pixels_is_exact(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "MOST_PIXELS", 20)
    for size, message in (((5, 4), None), ((7, 3), "7 x 3 pixels are too many; at most 20")):
        Image.new("RGB", size).save(tmp_path / "a.png")
        with pytest.raises(UserError, match=message) if message else contextlib.nullcontext():
            assert reader.read_rgba(tmp_path / "a.png").shape == (4, 5, 4)


@pytest.mark.parametrize("error", [IndexError("one\ntwo"), struct.error("x"), MemoryError()])
def test_whatever_a_decoder_raises_is_one_line(tmp_path, monkeypatch, error):
    def fails(*_, **__):
        raise error

    (tmp_path / "a.png").write_bytes(b"")
    monkeypatch.setattr(Image, "open", fails)
    said = {IndexError: "one two", struct.error: "x"}.get(type(error), "MemoryError")
    with pytest.raises(UserError, match=rf"a picture \(.*\): {said}\.$"):
        reader.read_rgb(tmp_path / "a.png")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match=r"pipe\.png cannot be read .*: it is no regular file"):
        reader.read_rgb(tmp_path / "pipe.png")
    with pytest.raises(UserError, match=": Is a directory"):
        reader.read_rgb(tmp_path)


def test_scaling_leaves_a_fitting_picture_alone_and_makes_others_square():
    fitting = _noise(8, 8)
    assert picture_folders.resize_to_square(fitting, 8) is fitting
    flat = np.full((40, 20, 3), 77, np.uint8)
    np.testing.assert_array_equal(picture_folders.resize_to_square(flat, 8), np.full((8, 8, 3), 77))
