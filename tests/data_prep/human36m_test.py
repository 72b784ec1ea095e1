"""The reader of Human3.6M on miniature archives with real files."""

import pathlib
import shutil

import h5py
import miniatures
import numpy as np
import pytest
import scipy.io

from data_prep.human36m import metadata, poses, reader
from data_prep.human36m.recording import Silhouettes
from data_prep.reading.archives import ArchiveError

CAMERAS = miniatures.H36M_CAMERAS
NAMES = {
    "S1": {("Directions", "1"): "Directions 1", ("Directions", "2"): "Directions",
           ("TakingPhoto", "1"): "TakingPhoto"},
    "S9": {("Greeting", "2"): "Greeting", ("Sitting", "1"): "Sitting"},
    "S11": {("Directions", "1"): "Directions"},
}  # fmt: skip
SIDE = 200


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An archive with every known defect of the real one."""
    root = tmp_path_factory.mktemp("human36m")
    (root / "metadata.xml").write_text(miniatures.metadata_xml(SIDE, NAMES))
    miniatures.human36m_recording(root, "S1", "Directions", cameras=(0, 1))
    miniatures.human36m_recording(root, "S1", "TakingPhoto", steps=1, cameras=(2,), boxes=False)
    miniatures.human36m_recording(root, "S9", "Greeting", steps=2, cameras=(3,), shift=(200, 0, 0))
    miniatures.human36m_recording(root, "S9", "Sitting", steps=1, cameras=(0,))
    miniatures.human36m_recording(root, "S11", "Directions", steps=1, cameras=(0, 1))
    (root / f"S11/Videos/Directions.{CAMERAS[0]}.mp4").write_bytes(b"corrupt")
    return root


@pytest.fixture
def archive(whole, tmp_path):
    """A copy to spoil."""
    return pathlib.Path(shutil.copytree(whole, tmp_path / "copy"))


def _find(root, *options):
    found = reader.find(root, *options)
    # Recordings of the miniature have fewer cameras than four.
    missed = [line for line in found.left_out if not line.endswith("is missing")]
    return {s.name: s for s in found.pieces}, missed, found.notes


def _sightings(sequence, every=miniatures.EVERY):
    return list(sequence.seen(np.arange(0, len(sequence.positions()), every)))


def _number(sequence):
    return CAMERAS.index(sequence.camera_id)


def test_which_recordings_there_are_and_what_is_left_out(whole):
    found, faults, notes = _find(whole)
    assert {name: s.split for name, s in found.items()} == {
        f"S1/Directions.{CAMERAS[0]}": "train",
        f"S1/Directions.{CAMERAS[1]}": "train",
        f"S1/TakingPhoto.{CAMERAS[2]}": "train",
        f"S9/Greeting.{CAMERAS[3]}": "train",
        f"S11/Directions.{CAMERAS[1]}": "validation",
    }
    assert faults == []
    with_chair = f"4 recordings left out, with a chair, such as S9/Sitting.{CAMERAS[0]}"
    corrupt = (
        "1 recordings left out, whose video is corrupt in the archive, such as "
        f"S11/Directions.{CAMERAS[0]}"
    )
    assert sorted(notes) == [corrupt, with_chair]
    dropped, _, notes = _find(whole, "drop")
    assert found.keys() - dropped.keys() == {f"S9/Greeting.{CAMERAS[3]}"}
    assert "4 recordings left out, whose poses are shifted, such as S9/Greeting.54138969" in notes


def test_actions_have_one_name_for_all_subjects(whole):
    found, _, _ = _find(whole)
    assert {s.name.rsplit(".", 1)[0]: s.action for s in found.values()} == {
        "S1/Directions": "Directions 2",
        "S1/TakingPhoto": "Photo 1",
        "S9/Greeting": "Greeting 2",
        "S11/Directions": "Directions 1",
    }
    about = metadata.Metadata({}, {})
    assert about.action("S1", "WalkingDog 1") == "WalkDog 1"


def test_sightings_are_what_was_filmed(whole):
    found, _, _ = _find(whole)
    for name in (f"S1/Directions.{CAMERAS[1]}", f"S11/Directions.{CAMERAS[1]}"):
        sequence = found[name]
        view = miniatures.views(SIDE)[1]
        taken = miniatures.shots(1, 3, SIDE, True)
        seen = _sightings(sequence)
        assert [s.frame for s in seen] == list(range(0, 5 * len(seen), 5))
        for step, sighting in enumerate(seen):
            inside, pixels = miniatures.see(
                miniatures.in_order(miniatures.body(step)[1], miniatures.HUMAN36M, 32), view
            )
            np.testing.assert_allclose(sighting.joints_mm, inside, atol=1e-3)
            np.testing.assert_allclose(sighting.joints_px, pixels, atol=1e-3)
            assert np.abs(sighting.image.astype(int) - taken[step].image).mean() < 3
            # The spot in the corner is cut off by the box.
            np.testing.assert_array_equal(sighting.mask, taken[step].mask)
            assert (sighting.person, sighting.outfit, sighting.order) == (
                name.split("/")[0], "a", "human36m_32",
            )  # fmt: skip
            assert sighting.camera_id == CAMERAS[1]
            assert sighting.where.endswith(f"{CAMERAS[1]}.mp4, frame {sighting.frame}")


def test_without_boxes_masks_stay_as_they_are(whole):
    sequence = _find(whole)[0][f"S1/TakingPhoto.{CAMERAS[2]}"]
    (sighting,) = _sightings(sequence)
    np.testing.assert_array_equal(sighting.mask, miniatures.shots(2, 1, SIDE, True)[0].mask)


def test_shifted_poses_and_boxes_are_put_right(whole):
    sequence = _find(whole)[0][f"S9/Greeting.{CAMERAS[3]}"]
    view = miniatures.views(SIDE)[3]
    for step, sighting in enumerate(_sightings(sequence)):
        joints = miniatures.in_order(miniatures.body(step)[1], miniatures.HUMAN36M, 32)
        right, wrong = (
            miniatures.see(joints, view),
            miniatures.see(joints + np.array([200, 0, 0]), view),
        )
        np.testing.assert_allclose(sighting.joints_mm, right[0], atol=1e-3)
        np.testing.assert_allclose(sighting.joints_px, right[1], atol=1e-3)
        assert np.abs(wrong[1] - right[1]).max() > 4
        mask = miniatures.shots(3, 2, SIDE, True)[step].mask
        np.testing.assert_array_equal(sighting.mask, mask)


def test_boxes_move_with_the_joints_and_cut_masks(tmp_path):
    box = np.zeros((120, 100), bool)
    box[50:100, 60:80] = True
    miniatures.write_masks(tmp_path / "masks.mat", [np.ones_like(box), np.ones_like(box)])
    miniatures.write_masks(tmp_path / "boxes.mat", [box, np.zeros_like(box)])
    with Silhouettes(tmp_path / "masks.mat", tmp_path / "boxes.mat") as silhouettes:
        mask = silhouettes.mask(0, box.shape, np.array([-12.0, 3.0]))
        empty = silhouettes.mask(1, box.shape, np.zeros(2))
    # With a tenth of 49 pixels to each side.
    expected = np.zeros_like(box)
    expected[48:107, 43:72] = True
    np.testing.assert_array_equal(mask, expected)
    # A box that is not there cuts off nothing.
    assert empty.all()


def test_camera_positions_serve_where_world_positions_are_missing(archive):
    name = f"S9/Greeting.{CAMERAS[3]}"
    before = _find(archive)[0][name].positions()
    shutil.rmtree(archive / "S9/MyPoseFeatures/D3_Positions")
    after = _find(archive)[0][name]
    assert after.mono
    np.testing.assert_allclose(after.positions(), before, atol=1e-2)


def _exported(path, name, how):
    values = poses.read(path, 3).reshape(-1, 96)
    target = path.with_name(name + {"mat": ".cdf.mat", "h5": ".h5", "h5_rows": ".h5"}[how])
    if how == "mat":
        cell = np.empty((1, 1), object)
        cell[0, 0] = values
        scipy.io.savemat(target, {"data": cell})
    else:
        # `h5_rows` is as MATLAB writes it, axes reversed.
        with h5py.File(target, "w") as file:
            file["3D_positions"] = values.T
    path.unlink()
    return target


@pytest.mark.parametrize("how", ["mat", "h5"])
def test_exports_hold_the_same(archive, how):
    name = f"S1/Directions.{CAMERAS[0]}"
    before = _find(archive)[0][name].positions()
    path = _exported(archive / "S1/MyPoseFeatures/D3_Positions/Directions.cdf", "Directions", how)
    sequence = _find(archive)[0][name]
    assert sequence.positions_file == path
    np.testing.assert_allclose(sequence.positions(), before, atol=1e-4)


def test_exports_in_folders_of_their_own(archive):
    features = archive / "S1/MyPoseFeatures/D3_Positions"
    before = _find(archive)[0][f"S1/Directions.{CAMERAS[0]}"].positions()
    path = _exported(features / "Directions.cdf", "Directions", "h5")
    folder = archive / "S1/MyPoses/3D_positions"
    folder.mkdir(parents=True)
    path.rename(folder / "Directions.h5")
    shutil.rmtree(features)
    after = _find(archive)[0][f"S1/Directions.{CAMERAS[0]}"].positions()
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_names_of_exports_have_underscores(tmp_path):
    for name in ("Walking_1.h5", "_ALL 1.cdf", "Walking 2.cdf", "..x.cdf", "Eating;rm.cdf"):
        (tmp_path / name).write_bytes(b"")
    assert poses.listed(tmp_path / "none") == {}
    assert {n: p.name for n, p in poses.listed(tmp_path).items()} == {
        "Walking 1": "Walking_1.h5",
        "Walking 2": "Walking 2.cdf",
    }


def test_metadata_may_lie_beside_the_official_code(whole, tmp_path):
    with pytest.raises(ArchiveError, match=r"metadata\.xml: is missing; the official code has it"):
        metadata.find(tmp_path)
    target = tmp_path / "Release-v1.2" / "H36M" / "metadata.xml"
    target.parent.mkdir(parents=True)
    shutil.copy(whole / "metadata.xml", target)
    assert metadata.find(tmp_path) == target


def test_a_folder_that_is_no_archive(tmp_path):
    with pytest.raises(ArchiveError, match=r"has none of the folders S1, S5"):
        reader.find(tmp_path)


NAME = f"S1/Directions.{CAMERAS[0]}"


def _video(archive):
    return archive / f"S1/Videos/Directions.{CAMERAS[0]}.mp4"


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ("S1/Videos/Directions.{}.mp4", "is missing"),
        ("S1/MySegmentsMat/ground_truth_bs/Directions.{}.mat", "is missing"),
    ],
)
def test_what_is_missing_is_named_and_the_rest_is_there(archive, where, named):
    before = set(_find(archive)[0])
    path = archive / where.format(CAMERAS[0])
    path.unlink()
    found = reader.find(archive)
    assert {s.name for s in found.pieces} == before - {NAME}
    assert f"{path}: {named}" in found.left_out


@pytest.mark.parametrize("part", ["Videos", "MySegmentsMat/ground_truth_bs"])
def test_a_forgotten_download_is_one_fault(archive, part):
    shutil.rmtree(archive / "S1" / part)
    found = reader.find(archive)
    assert not any(s.subject == "S1" for s in found.pieces)
    mine = [line for line in found.left_out if "/S1/" in line]
    assert mine == [f"{archive / 'S1' / part}: is missing or holds no files"]


def test_a_video_without_poses_is_named(archive):
    path = archive / f"S1/Videos/Walking.{CAMERAS[0]}.mp4"
    shutil.copy(_video(archive), path)
    assert f"{path}: has no positions of joints" in reader.find(archive).left_out


def _read_until_error(sequence):
    """The frames that one gets, and what is said then."""
    seen = []
    try:
        for sighting in sequence.seen(np.arange(0, len(sequence.positions()), 5)):
            seen.append(sighting.frame)
    except ArchiveError as error:
        return seen, error
    raise AssertionError("nothing was said")


def test_a_video_shorter_than_its_poses(archive):
    shots = miniatures.shots(0, 3, SIDE, True)
    bare = np.broadcast_to(miniatures.BACKGROUND, shots[0].image.shape)
    frames = miniatures.frames_of([s.image for s in shots], bare)
    miniatures.write_video(_video(archive), frames[:8], "libx264")
    seen, error = _read_until_error(_find(archive)[0][NAME])
    assert seen == [0, 5]
    assert (error.file, error.reason) == (
        str(_video(archive)), "has 8 frames, its poses 15; the rest is lost",
    )  # fmt: skip


def test_fewer_masks_than_poses(archive):
    path = archive / f"S1/MySegmentsMat/ground_truth_bs/Directions.{CAMERAS[0]}.mat"
    masks = [np.ones((SIDE + 2, SIDE), bool)] * 6
    miniatures.write_masks(path, masks)
    seen, error = _read_until_error(_find(archive)[0][NAME])
    assert seen == [0, 5]
    assert (error.file, error.reason) == (
        str(path), "has 6 frames, its poses 15; the rest is lost",
    )  # fmt: skip


def test_a_corrupt_video(archive):
    raw = bytearray(_video(archive).read_bytes())
    start = len(raw) // 2
    raw[start : start + 400] = np.random.default_rng(0).integers(0, 256, 400, np.uint8).tobytes()
    _video(archive).write_bytes(raw)
    seen, error = _read_until_error(_find(archive)[0][NAME])
    assert set(seen) < {0, 5, 10}
    assert error.file == str(_video(archive))
    assert "cannot be decoded beyond its first" in error.reason


def test_masks_of_another_size(archive):
    path = archive / f"S1/MySegmentsMat/ground_truth_bs/Directions.{CAMERAS[0]}.mat"
    miniatures.write_masks(path, [np.ones((SIDE, SIDE + 2), bool)] * 15)
    _, error = _read_until_error(_find(archive)[0][NAME])
    assert error.reason == "has a mask of (200, 202) where frames are (202, 200)"


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("D3_Positions/Directions", np.ones((15, 95)), "not frames x 96 numbers"),
        ("D3_Positions/Directions", np.full((15, 96), np.nan), "not finite"),
        ("D3_Positions/Directions", np.full((15, 96), 1e5), "behind the camera"),
        (f"D2_Positions/Directions.{CAMERAS[0]}", np.ones((14, 64)), "has 14 frames, the pos"),
        (f"D2_Positions/Directions.{CAMERAS[0]}", np.ones((15, 64)), "metadata.xml is not of this"),
    ],
)  # fmt: skip
def test_poses_that_cannot_be(archive, kind, values, said):
    path = archive / "S1/MyPoseFeatures" / f"{kind}.cdf"
    path.unlink()
    miniatures.write_cdf(path, values)
    with pytest.raises(ArchiveError, match=said):
        _find(archive)[0][NAME].positions()


def test_an_export_without_poses(archive):
    path = archive / "S1/MyPoseFeatures/D3_Positions/Directions.cdf"
    path.unlink()
    scipy.io.savemat(path.with_suffix(".mat"), {"other": np.ones(3)})
    with pytest.raises(ArchiveError, match="has none of the variables Pose"):
        _find(archive)[0][NAME].positions()
