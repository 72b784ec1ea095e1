"""The reader of the test set of MPI-INF-3DHP on miniature archives with real files."""

import dataclasses

import h5py
import miniatures
import numpy as np
import pytest
from PIL import Image

from data_prep.building import cameras, preparing
from data_prep.building.pieces import Dropped
from data_prep.errors import SightingError
from data_prep.mpi_inf_3dhp import reader, test_set
from data_prep.reading.archives import ArchiveError


@pytest.fixture
def _small(monkeypatch):
    """Test cameras with a tenth of the pixels, so that pictures are small."""
    scale = np.diag([0.1, 0.1, 1])
    for name in ("STUDIO", "OUTDOORS"):
        camera = getattr(test_set, name)
        small = dataclasses.replace(camera, intrinsics=scale @ camera.intrinsics)
        monkeypatch.setattr(test_set, name, small)


def _test_sequence(root, name="TS5", count=6, masks=True, invalid=(), sitting=()):
    folder = root / "mpi_inf_3dhp_test_set" / name
    (folder / "imageSequence").mkdir(parents=True)
    camera = test_set.OUTDOORS if name in ("TS5", "TS6") else test_set.STUDIO
    joints = np.zeros((count, 17, 3))
    for frame in range(count):
        ours = (miniatures.body(0)[1] - [0, 0, 900]) @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
        joints[frame] = miniatures.in_order(ours, miniatures.TEST_SET, 17)
        joints[frame] += [130.0 * frame, 0, 4000]
    pixels = np.stack([cameras.project(j, camera) for j in joints])
    valid, activity = np.ones((count, 1)), np.ones((count, 1))
    valid[list(invalid)], activity[list(sitting)] = 0, 3
    joints[list(invalid)] = np.nan
    with h5py.File(folder / "annot_data.mat", "w", userblock_size=512) as file:
        file["annot2"], file["annot3"] = pixels[:, None], joints[:, None]
        file["univ_annot3"] = joints[:, None]
        file["valid_frame"], file["activity_annotation"] = valid, activity
    width, height = 192, 108
    picture = Image.new("RGB", (width, height), (60, 70, 80))
    # Frames and one picture more, as TS3 has.
    for frame in range(count + 1):
        picture.save(folder / "imageSequence" / f"img_{frame + 1:06d}.jpg", quality=20)
    if masks:
        (folder / "masks").mkdir()
        for frame in range(count):
            low, high = pixels[frame].min(0), pixels[frame].max(0)
            mask = Image.new("L", (width, height))
            mask.paste(255, (*low.astype(int), *high.astype(int)))
            mask.save(folder / "masks" / f"img_{frame + 1:06d}.png")
    return folder


@pytest.mark.usefixtures("_small")
def test_the_test_set_is_a_split_of_its_own(tmp_path):
    _test_sequence(tmp_path, invalid=(0, 3), sitting=(4,))
    (sequence,) = reader.find(tmp_path).pieces
    assert (sequence.name, sequence.split) == ("TS5", "test_set")
    seen = list(sequence.seen(np.arange(6)))
    assert [type(s).__name__ for s in seen] == [
        "Dropped", "Sighting", "Sighting", "Dropped", "Dropped", "Sighting",
    ]  # fmt: skip
    assert [s.reason for s in seen if isinstance(s, Dropped)] == [
        "that the archive calls not valid", "that the archive calls not valid", "with a chair",
    ]  # fmt: skip
    assert (seen[1].action, seen[1].order) == ("Stand or walk", "mpi_inf_3dhp_17")
    assert seen[1].where.endswith("imageSequence/img_000002.jpg")
    record = preparing.prepare(seen[1], 64)
    # The picture is bare: the mask is what was made for it.
    inside = record["image"][record["mask"][..., 0] > 0].astype(int)
    assert np.all(np.abs(inside - (60, 70, 80)) <= 3)
    # Frames that are not valid move nobody.
    positions = sequence.positions()
    np.testing.assert_array_equal(positions[0], positions[1])
    np.testing.assert_array_equal(positions[3], positions[2])


def test_published_numbers_of_the_test_cameras():
    k = test_set.STUDIO.intrinsics
    assert k[0, 0] == k[1, 1] == pytest.approx(1500.172288)
    np.testing.assert_allclose(k[:2, 2], [1017.38733568, 1043.03198208])
    k = test_set.OUTDOORS.intrinsics
    assert k[0, 0] == k[1, 1] == pytest.approx(1683.98345952)
    np.testing.assert_allclose(k[:2, 2], [939.85754016, 560.140743168])


@pytest.mark.usefixtures("_small")
def test_without_masks_the_test_set_is_left_out(tmp_path):
    folder = _test_sequence(tmp_path, masks=False)
    found = reader.find(tmp_path)
    assert found.pieces == []
    assert found.left_out == []
    assert found.notes == [f"TS5: left out, there is no folder {folder / 'masks'}"]


@pytest.mark.usefixtures("_small")
def test_pictures_of_the_test_set_that_are_damaged_or_missing(tmp_path):
    folder = _test_sequence(tmp_path, name="TS6", count=4)
    (folder / "imageSequence/img_000002.jpg").write_bytes(b"no picture")
    (folder / "masks/img_000003.png").unlink()
    (sequence,) = reader.find(tmp_path).pieces
    seen = list(sequence.seen(np.arange(4)))
    assert isinstance(seen[1], SightingError)
    assert isinstance(seen[2], SightingError)
    assert (seen[0].frame, seen[3].frame) == (0, 3)
    assert seen[2].reason == "is not there"


@pytest.mark.usefixtures("_small")
def test_a_test_sequence_without_annotations(tmp_path):
    folder = _test_sequence(tmp_path, count=2)
    (folder / "annot_data.mat").unlink()
    assert reader.find(tmp_path).left_out == [f"{folder / 'annot_data.mat'}: is missing"]


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("annot2", lambda v: v[:, :, :16], r"not 2 x 1 x 17 x 2"),
        ("annot2", lambda v: v + 99, "2D and 3D that do not fit"),
        ("valid_frame", lambda v: 0 * v, "has no valid frames"),
        ("activity_annotation", lambda v: 0 * v, "has activities other than 1 to 7"),
        ("annot3", lambda v: v * np.nan, "not finite"),
    ],
)
def test_test_annotations_that_cannot_be(tmp_path, name, change, said):
    path = _test_sequence(tmp_path, count=2) / "annot_data.mat"
    with h5py.File(path, "r+") as file:
        value = change(file[name][()])
        del file[name]
        file[name] = value
    (sequence,) = reader.find(tmp_path).pieces
    with pytest.raises(ArchiveError, match=said):
        sequence.positions()
