"""The reader of MPI-INF-3DHP on miniature archives with real files."""

import dataclasses
import pathlib
import shutil

import h5py
import miniatures
import numpy as np
import pytest
import scipy.io

from data_prep.building import cameras
from data_prep.building.pieces import Dropped
from data_prep.mpi_inf_3dhp import annotations, calibration, reader, recording
from data_prep.reading import sequences
from data_prep.reading.archives import ArchiveError
from volsynth.poses import joint_orders

SIDE = 200
FRAMES = 15
"""The number of frames of each miniature recording: three steps."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("mpi")
    miniatures.mpi_recording(root / "S1/Seq1", chair=(1,))
    miniatures.mpi_recording(root / "S6/Seq2", steps=1, cameras=(2,), codec="mjpeg")
    return root


@pytest.fixture
def archive(whole, tmp_path):
    """A copy to spoil."""
    return pathlib.Path(shutil.copytree(whole, tmp_path / "copy"))


def _pieces(root):
    return {s.name: s for s in reader.find(root).pieces}


def _seen(sequence):
    return list(sequence.seen(np.arange(0, len(sequence.positions()), miniatures.EVERY)))


def test_which_recordings_there_are(whole):
    found = reader.find(whole)
    assert {s.name: s.split for s in found.pieces} == {
        "S1/Seq1/0": "train", "S1/Seq1/8": "train", "S6/Seq2/2": "validation",
    }  # fmt: skip
    assert found.left_out == [
        f"{whole / 'S1/Seq2'}: is missing",
        f"{whole / 'S6/Seq1'}: is missing",
    ]
    assert reader.SPLITS == {"S6": "validation", "S4": "test"}


def test_sightings_are_what_was_filmed(whole):
    sequence = _pieces(whole)["S1/Seq1/8"]
    view = miniatures.views(SIDE, lens=False)[1]
    taken = miniatures.shots(1, 3, SIDE, False)
    first, dropped, third = _seen(sequence)
    assert dropped == Dropped("with a chair")
    for step, sighting in ((0, first), (2, third)):
        inside, pixels = miniatures.see(
            miniatures.in_order(miniatures.body(step)[1], miniatures.MPI_INF_3DHP, 28), view
        )
        np.testing.assert_allclose(sighting.joints_mm, inside, atol=1e-3)
        np.testing.assert_allclose(sighting.joints_px, pixels, atol=1e-3)
        assert np.abs(sighting.image.astype(int) - taken[step].image).mean() < 4
        assert np.mean(sighting.mask != taken[step].mask) < 0.001
        assert sighting.frame == 5 * step
        assert (sighting.person, sighting.outfit, sighting.camera_id) == ("S1", "Seq1", "8")
        assert sighting.where.endswith(f"imageSequence/video_8.avi, frame {5 * step}")
        # X_cam = R (X_world - t), back to the world that all cameras share.
        world = sighting.joints_mm @ sighting.camera.rotation + sighting.camera.position
        np.testing.assert_allclose(
            joint_orders.to_skeleton(world, sighting.visible, sighting.order)[0],
            miniatures.body(step)[1], atol=0.01,
        )  # fmt: skip


def test_annot3_reprojects_to_annot2_and_univ_annot3_does_not(whole):
    path = whole / "S1/Seq1/annot.mat"
    camera = calibration.read(whole / "S1/Seq1/camera.calibration")[8]
    joints = annotations.read(path, "S1", "Seq1")[8]
    recording.check_projection(path, camera, *joints)
    projected = cameras.project(joints.positions[0], camera)
    np.testing.assert_allclose(projected, joints.pixels[0], atol=1e-3)
    universal = scipy.io.loadmat(path)["univ_annot3"][8, 0].reshape(-1, 28, 3)
    # Another height, at the same distance: a scaling alone would project alike.
    pelvis = joints.positions[:, 4:5]
    universal = universal - universal[:, 4:5] + pelvis
    assert np.abs(cameras.project(universal[0], camera) - joints.pixels[0]).max() > 2
    moved = joints.positions + np.array([400.0, 0, 0])
    with pytest.raises(ArchiveError, match="the calibration is not of this recording"):
        recording.check_projection(path, camera, joints.pixels, moved)
    with pytest.raises(ArchiveError, match="has its joints behind the camera"):
        recording.check_projection(path, camera, joints.pixels, -joints.positions)


def _calibrated(tmp_path, change=lambda text: text):
    text = miniatures.calibration_text(dict(enumerate(miniatures.views(SIDE, lens=False))))
    path = tmp_path / "camera.calibration"
    path.write_text(change(text))
    return path


def test_calibration_is_read(tmp_path):
    found = calibration.read(_calibrated(tmp_path))
    assert sorted(found) == [0, 1, 2, 3]
    for number, view in enumerate(miniatures.views(SIDE, lens=False)):
        np.testing.assert_allclose(found[number].rotation, view.rotation, atol=1e-8)
        np.testing.assert_allclose(found[number].position, view.position, atol=1e-4)
        np.testing.assert_allclose(found[number].intrinsics, view.intrinsics)
        assert found[number].model == "none"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.replace("Skeletool", "Other"), "does not start with"),
        (lambda t: t.replace("  intrinsic  ", "  intrinsic 1"), "has no 16 numbers in 'intrinsic'"),
        (lambda t: t.replace("  extrinsic  ", "  extrinsic nan"), "has no 16 numbers in 'extr"),
        (
            lambda t: t.replace("  extrinsic   -0.7", "  extrinsic   0.7"),
            "has no rotation in 'extr",
        ),
        (lambda t: t.replace("radial      0", "radial      1 0.2"), "has a lens for camera 0"),
        (lambda t: t.replace("name          0", "name a"), "has a camera named 'a', not a number"),
        (lambda t: t.replace("name          0", "nom 0"), "has 'nom' before the first camera's"),
        (lambda t: t + "\N{SNOWMAN}", "is no text"),
    ],
)
def test_calibrations_that_cannot_be_read(tmp_path, change, said):
    with pytest.raises(ArchiveError, match=rf"camera\.calibration: {said}"):
        calibration.read(_calibrated(tmp_path, change))


def _write(path, count, v73=False, number=14, **changes):
    """Annotations whose numbers say which joint they are of."""
    joints = np.tile(np.arange(28.0)[:, None], (1, 3)) + np.array([0, 0.1, 0.2])
    cells = {}
    for name, axes in (("annot2", 2), ("annot3", 3)):
        cells[name] = np.empty((number, 1), object)
        for camera in range(number):
            rows = np.arange(count)[:, None, None] * 1000 + joints[:, :axes] + 100 * camera
            cells[name][camera, 0] = rows.reshape(count, -1)
    cells |= {"cameras": np.arange(number), "frames": np.arange(count)} | changes
    if not v73:
        scipy.io.savemat(path, cells)
        return
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in cells.items():
            if value.dtype != object:
                file[name] = value
                continue
            references = file.create_dataset(name, (1, len(value)), dtype=h5py.ref_dtype)
            for i, cell in enumerate(value[:, 0]):
                references[0, i] = file.create_dataset(f"#refs#/{name}{i}", data=cell.T).ref


@pytest.mark.parametrize("v73", [False, True])
def test_annotations_of_either_version_of_mat(tmp_path, v73):
    _write(tmp_path / "annot.mat", 4, v73=v73)
    found = annotations.read(tmp_path / "annot.mat", "S1", "Seq1")
    assert sorted(found) == list(range(14))
    np.testing.assert_allclose(found[3].pixels[2, 7], [2307, 2307.1])
    np.testing.assert_allclose(found[13].positions[1, 27], [2327, 2327.1, 2327.2])


def test_cells_belong_to_the_cameras_that_the_file_says(tmp_path):
    _write(tmp_path / "annot.mat", 1, cameras=np.arange(14)[::-1])
    found = annotations.read(tmp_path / "annot.mat", "S1", "Seq1")
    np.testing.assert_allclose(found[13].pixels[0, 0], [0, 0.1])


def test_left_and_right_are_exchanged_where_the_archive_has_them_flipped(tmp_path):
    _write(tmp_path / "annot.mat", 5855, number=1)
    plain = annotations.read(tmp_path / "annot.mat", "S4", "Seq1")[0]
    mended = annotations.read(tmp_path / "annot.mat", "S4", "Seq2")[0]
    changed = np.any(plain.pixels != mended.pixels, axis=(1, 2))
    assert np.flatnonzero(changed)[[0, -1]].tolist() == [3759, 5852]
    assert changed[3759:5853].all()
    swapped = mended.positions[4000, :, 0] - 4000 * 1000
    names = joint_orders.ORDERS["mpi_inf_3dhp_28"].joints
    for joint, name in enumerate(names):
        other = {"left": "right", "right": "left"}.get(name.split("_")[0])
        wanted = names.index(f"{other}_{name.partition('_')[2]}") if other else joint
        assert swapped[joint] == wanted


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"annot2": np.ones(3)}, "has no cells 'annot2'"),
        ({"cameras": np.arange(13)}, "has different numbers of cameras"),
        ({"frames": np.array([0, 2, 3, 4])}, "not those of the frames one after another"),
        ({"frames": np.arange(3)}, "not those of the frames one after another"),
    ],
)
def test_annotations_that_cannot_be(tmp_path, changes, said):
    _write(tmp_path / "annot.mat", 4, **changes)
    with pytest.raises(ArchiveError, match=said):
        annotations.read(tmp_path / "annot.mat", "S1", "Seq1")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (np.ones((4, 55)), "not frames x 56"),
        (np.ones((3, 56)), "has different numbers of frames"),
        (np.full((4, 56), np.inf), "not finite"),
    ],
)
def test_a_cell_that_cannot_be(tmp_path, cell, said):
    cells = np.empty((14, 1), object)
    for i in range(14):
        cells[i, 0] = cell if i == 5 else np.ones((4, 56))
    _write(tmp_path / "annot.mat", 4, annot2=cells)
    with pytest.raises(ArchiveError, match=said):
        annotations.read(tmp_path / "annot.mat", "S1", "Seq1")


def test_frames_numbered_from_one_are_the_same_frames(tmp_path):
    _write(tmp_path / "annot.mat", 4, frames=np.arange(1, 5))
    assert len(annotations.read(tmp_path / "annot.mat", "S1", "Seq1")[0].pixels) == 4


def _read_until_error(sequence):
    """The frames that one gets, and what is said then."""
    seen = []
    try:
        for sighting in sequence.seen(np.arange(0, len(sequence.positions()), 5)):
            seen.append(getattr(sighting, "frame", None))
    except ArchiveError as error:
        return seen, error
    raise AssertionError("nothing was said")


def _shorten(folder, number, frames):
    """Cuts the videos of a camera to so many frames."""
    for part in recording.PARTS:
        bare = np.full((SIDE, SIDE, 3), 90, np.uint8)
        path = folder / part / f"video_{number}.avi"
        path.unlink()
        miniatures.write_video(path, [bare] * frames, "mpeg4")


def test_a_video_shorter_than_its_annotations(archive):
    _shorten(archive / "S1/Seq1", 8, 9)
    seen, error = _read_until_error(_pieces(archive)["S1/Seq1/8"])
    assert len(seen) == 2
    assert error.reason == f"has 9 frames, its annotations {FRAMES}; the rest is lost"
    assert error.file.endswith("imageSequence/video_8.avi")


def test_what_is_short_in_the_archive_itself_is_no_fault(archive, monkeypatch):
    _shorten(archive / "S6/Seq2", 2, 4)
    assert recording.KNOWN_SHORT == {("S6", "Seq2", 2): 3911}
    with pytest.raises(ArchiveError, match="has 4 frames, its annotations 5"):
        _seen(_pieces(archive)["S6/Seq2/2"])
    monkeypatch.setitem(recording.KNOWN_SHORT, ("S6", "Seq2", 2), 4)
    _seen(_pieces(archive)["S6/Seq2/2"])


def test_one_annotation_more_is_a_fault_but_in_one_recording(tmp_path):
    for subject in ("S3", "S7"):
        miniatures.mpi_recording(tmp_path / subject / "Seq1", steps=1, cameras=(0,), extra=1)
    assert len(_pieces(tmp_path)["S3/Seq1/0"].positions()) == 6
    assert [s.frame for s in _seen(_pieces(tmp_path)["S3/Seq1/0"])] == [0]
    with pytest.raises(ArchiveError, match="has 5 frames, its annotations 6"):
        _seen(_pieces(tmp_path)["S7/Seq1/0"])


@pytest.mark.parametrize("part", recording.PARTS)
def test_a_missing_video_is_named_and_the_rest_is_there(archive, part):
    path = archive / "S1/Seq1" / part / "video_8.avi"
    path.unlink()
    found = reader.find(archive)
    assert "S1/Seq1/0" in {s.name for s in found.pieces}
    assert "S1/Seq1/8" not in {s.name for s in found.pieces}
    assert f"{path}: is missing" in found.left_out


def test_recordings_with_bad_masks_can_be_left_out(archive):
    (archive / "S1/Seq1").rename(archive / "S1/Seq2")
    kept, dropped = reader.find(archive), reader.find(archive, "drop")
    assert {s.name for s in kept.pieces} - {s.name for s in dropped.pieces} == {
        "S1/Seq2/0", "S1/Seq2/8",
    }  # fmt: skip
    assert kept.notes == ["S1/Seq2: kept, its owners call its masks bad"]
    assert dropped.notes == ["S1/Seq2: left out, its owners call its masks bad"]


def test_cameras_that_nobody_asked_for_are_not_missed(archive):
    for part in recording.PARTS:
        (archive / "S1/Seq1" / part / "video_8.avi").rename(
            archive / "S1/Seq1" / part / "video_12.avi"
        )
    text = (archive / "S1/Seq1/camera.calibration").read_text()
    for number, missed in ((12, False), (8, True)):
        changed = text.replace("name          8", f"name          {number}")
        (archive / "S1/Seq1/camera.calibration").write_text(changed)
        found = reader.find(archive)
        assert any("video_8" in line for line in found.left_out) == missed
        assert ("S1/Seq1/12" in {s.name for s in found.pieces}) != missed


@pytest.mark.parametrize("name", ["annot.mat", "camera.calibration"])
def test_a_recording_without_numbers_is_named(archive, name):
    (archive / "S1/Seq1" / name).unlink()
    found = reader.find(archive)
    assert {s.name for s in found.pieces} == {"S6/Seq2/2"}
    assert f"{archive / 'S1/Seq1' / name}: is missing" in found.left_out


def test_masks_of_another_size(archive):
    path = archive / "S1/Seq1/FGmasks/video_8.avi"
    path.unlink()
    miniatures.write_video(path, [np.zeros((100, 100, 3), np.uint8)] * FRAMES, "mpeg4")
    with pytest.raises(ArchiveError, match="has frames of another size than its masks"):
        _seen(_pieces(archive)["S1/Seq1/8"])


def test_annotations_without_the_camera(archive):
    sequence = _pieces(archive)["S1/Seq1/8"]
    _write(sequence.folder / "annot.mat", 4, cameras=np.arange(14) + 9)
    with pytest.raises(ArchiveError, match="has no annotations of camera 8"):
        sequence.positions()


def test_a_folder_that_is_no_archive(tmp_path):
    with pytest.raises(ArchiveError, match="has none of the folders S1 to S8 and TS1 to TS6"):
        reader.find(tmp_path)


@pytest.mark.parametrize(
    ("joints", "expected"),
    [
        ([[10, 20], [50, 120]], (slice(5, 135), slice(0, 65))),
        ([[10, 20], [50, 500]], (slice(0, 200), slice(0, 122))),
        ([[-90, 20], [-50, 40]], (slice(14, 46), slice(0, 0))),
    ],
)
def test_where_a_person_can_be(joints, expected):
    assert recording.box_of(np.array(joints, float), (200, 300)) == expected


# What all sequences share.


def test_pieces_take_one_of_five_frames_and_only_if_somebody_moved(whole):
    class Still(recording.Recording):
        def positions(self):
            positions = super().positions().copy()
            positions[10:] = positions[5]
            return positions

    moving = _pieces(whole)["S1/Seq1/8"]
    still = Still(**vars(moving))
    kinds = [type(s).__name__ for s in moving.sightings()]
    assert kinds == ["Sighting", "Dropped", "Sighting"]
    assert [type(s).__name__ for s in still.sightings()] == ["Sighting", "Dropped"]


def test_sightings_that_nobody_wants_are_dropped(whole):
    class Moved(recording.Recording):
        def seen(self, frames):
            found = next(super().seen(frames))
            yield dataclasses.replace(found, joints_px=found.joints_px + np.array([150, 0]))
            yield dataclasses.replace(found, mask=np.zeros_like(found.mask))
            yield dataclasses.replace(found, joints_mm=-found.joints_mm)
            yield found

    moved = Moved(**vars(_pieces(whole)["S1/Seq1/0"]))
    outside, empty, behind, right = moved.sightings()
    assert behind == Dropped(sequences.BEHIND)
    assert outside == Dropped(sequences.OUTSIDE)
    assert empty == Dropped(sequences.NO_MASK)
    assert right.frame == 0


def test_pieces_change_with_their_files(archive):
    before = {name: repr(piece) for name, piece in _pieces(archive).items()}
    path = archive / "S1/Seq1/FGmasks/video_8.avi"
    path.write_bytes(path.read_bytes() + b" ")
    after = {name: repr(piece) for name, piece in _pieces(archive).items()}
    assert {name for name in before if before[name] != after[name]} == {"S1/Seq1/8"}
