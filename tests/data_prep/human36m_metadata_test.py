"""The metadata of Human3.6M: rotations, numbers of cameras, and files that cannot be read."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_prep.human36m import metadata
from data_prep.reading.archives import ArchiveError
from volsynth.ops import geometry


def test_rotation_is_about_z_then_y_then_x():
    rng = np.random.default_rng(2)
    for angles in rng.uniform(-3, 3, (5, 3)):
        np.testing.assert_allclose(
            metadata.rotation(*angles), Rotation.from_euler("XYZ", angles).as_matrix(), atol=1e-12
        )


def test_published_numbers_of_a_camera():
    # From metadata.xml of the archive, the first camera's intrinsics.
    intrinsics = np.array([
        1145.04940458804, 1143.78109572365, 512.541504956548, 515.4514869776,
        -0.207098910824901, 0.247775183068982, -0.00307515035078854,
        -0.000975698859470499, -0.00142447157470321,
    ])  # fmt: skip
    camera = metadata.camera(np.array([0.1, 0.2, 0.3, 1000.0, -2000.0, 1500.0]), intrinsics)
    point = np.array([[400.0, -300.0, 4000.0]])
    x, y = 0.1, -0.075
    r2 = x * x + y * y
    k1, k2, k3, p1, p2 = intrinsics[4:]
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    tangential = p1 * y + p2 * x
    expected = [
        intrinsics[0] * (x * (radial + tangential) + p2 * r2) + intrinsics[2],
        intrinsics[1] * (y * (radial + tangential) + p1 * r2) + intrinsics[3],
    ]
    found = geometry.project(point, camera.intrinsics, camera.distortion)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    assert camera.model == "human36m"
    np.testing.assert_array_equal(camera.position, [1000, -2000, 1500])


def test_every_subject_and_camera_has_numbers_of_its_own(tmp_path):
    numbers = np.arange(300.0)
    path = tmp_path / "metadata.xml"
    path.write_text(f"<m><w0>[{' '.join(map(str, numbers))}]</w0></m>")
    cameras = metadata.read(path).cameras
    assert len(cameras) == 44
    np.testing.assert_array_equal(cameras["S1", "54138969"].position, [3, 4, 5])
    np.testing.assert_array_equal(cameras["S2", "54138969"].position, [9, 10, 11])
    np.testing.assert_array_equal(cameras["S1", "55011271"].position, [69, 70, 71])
    np.testing.assert_array_equal(cameras["S11", "60457274"].position, [261, 262, 263])
    np.testing.assert_array_equal(cameras["S5", "55011271"].distortion, numbers[277:282])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<m><w0>[1 2 3]</w0></m>", "has no vector w0 of 300 numbers"),
        ("<m></m>", "has no vector w0"),
        ("<m><w0>[a b]</w0></m>", "has no vector w0"),
        ("<m>", "is no XML"),
        ('<!DOCTYPE m [<!ENTITY a "b">]><m>&a;</m>', "declares entities"),
    ],
)
def test_metadata_that_cannot_be_read(tmp_path, text, said):
    (tmp_path / "metadata.xml").write_text(text)
    with pytest.raises(ArchiveError, match=rf"metadata\.xml: {said}"):
        metadata.read(metadata.find(tmp_path))
