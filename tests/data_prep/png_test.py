"""The PNG files that records hold keep every level."""

import io

import numpy as np
import pytest
from PIL import Image

from data_prep.building import png


@pytest.mark.parametrize(
    ("shape", "dtype"), [((4, 4, 3), "u1"), ((4, 4, 1), "u1"), ((4, 4, 1), "u2")]
)
def test_our_own_png_keeps_every_level(shape, dtype):
    levels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype)
    found = np.asarray(Image.open(io.BytesIO(png.encode(levels)))).reshape(shape)
    np.testing.assert_array_equal(found, levels)
