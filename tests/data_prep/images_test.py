"""Image files from outside: sizes before pixels, and one line for whatever is wrong."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from data_prep.errors import SightingError
from data_prep.reading import images
from volsynth.images import reader


def _encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def huge_png(width=30_000, height=30_000):
    """A PNG whose header promises more than there is."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", reader.FORMATS)
def test_every_format_is_read_with_an_alpha_channel(kind):
    pixels = np.zeros((5, 7, 3), np.uint8)
    pixels[:, :, 0] = 200
    options = {"lossless": True} if kind == "WEBP" else {}
    found = images.read(_encoded(Image.fromarray(pixels), kind, **options), "x")
    assert found.shape == (5, 7, 4)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found[..., :3], pixels, atol=2)
    assert (found[..., 3] == 255).all()


def test_an_image_is_turned_as_its_camera_was():
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned clockwise: the first row becomes the last column.
    found = images.read(_encoded(Image.fromarray(pixels), exif=exif), "x")
    assert found.shape == (6, 4, 4)
    assert found[0, 3, 0] == 255


@pytest.mark.parametrize(
    ("size", "said"), [((30_000, 30_000), "its pixels"), ((12_000, 8_000), "12000 x 8000 pixels")]
)
def test_a_huge_image_is_refused_by_its_header(size, said):
    with pytest.raises(SightingError, match=rf"^a/x\.png: {said} are too many"):
        images.read(huge_png(*size), "a/x.png")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no image", r"^x: cannot be read as a picture \(PNG, JPEG, WEBP, BMP, TIFF\)$"),
        (b"", r"\(PNG, JPEG, WEBP, BMP, TIFF\)$"),
        (
            _encoded(Image.new("RGB", (50, 50), "red"))[:60],
            r"^x: cannot be read as a picture \(PNG, .*\): .*\w$",
        ),
        (_encoded(Image.new("RGB", (50, 50)), "GIF"), r"^x: cannot be read as a picture"),
        (_encoded(Image.new("I;16", (5, 5))), "^x: has pixels of kind I;16; allowed are 8 bits"),
    ],
)
def test_what_is_no_image_that_is_read_is_named(content, message):
    with pytest.raises(SightingError, match=message) as caught:
        images.read(content, "x")
    assert caught.value.where == "x"


def test_a_file_is_read_and_one_that_is_missing_named(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(SightingError, match=r"a\.png: is not there$"):
        images.read_file(path)
    path.write_bytes(_encoded(Image.new("L", (3, 2), 7)))
    np.testing.assert_array_equal(images.read_file(path)[..., 0], np.full((2, 3), 7))


def test_a_process_that_prepares_images_does_not_wait_for_jax():
    program = "import sys, data_prep.reading.images; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
