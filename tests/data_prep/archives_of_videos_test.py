"""Human3.6M and MPI-INF-3DHP from miniature archives to data sets, by their commands."""

import io
import json
import pathlib

import miniatures
import numpy as np
import pytest
from PIL import Image

from data_prep.building import pieces, preparing
from data_prep.building.sighting import Sighting
from data_prep.human36m import __main__ as human36m
from data_prep.human36m import reader as human36m_reader
from data_prep.mpi_inf_3dhp import __main__ as mpi_inf_3dhp
from data_prep.mpi_inf_3dhp import reader as mpi_reader
from data_prep.posed_people.rendering import scene
from data_prep.reading import videos
from volsynth import conventions, skeleton
from volsynth.data import prepared

CAMERAS = miniatures.H36M_CAMERAS


def _human36m(root):
    names = {s: {("Walking", "1"): "Walking 1"} for s in ("S1", "S5", "S11")}
    (root / "metadata.xml").write_text(miniatures.metadata_xml(200, names))
    miniatures.human36m_recording(root, "S1", "Walking 1")
    for subject in ("S5", "S11"):
        miniatures.human36m_recording(root, subject, "Walking 1", steps=1, cameras=(0, 1, 2, 3))
    return root


def _mpi_inf_3dhp(root):
    miniatures.mpi_recording(root / "S1/Seq1", chair=(1,))
    miniatures.mpi_recording(root / "S1/Seq2", steps=1, cameras=(1,))
    for subject in ("S4", "S6"):
        for recording in ("Seq1", "Seq2"):
            miniatures.mpi_recording(root / subject / recording, steps=1, cameras=(0,))
    return root


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    return {
        "human36m": _human36m(tmp_path_factory.mktemp("human36m")),
        "mpi_inf_3dhp": _mpi_inf_3dhp(tmp_path_factory.mktemp("mpi_inf_3dhp")),
    }


# Where a joint lies, one sees one of these parts, unless something is in front.
PARTS = {joint: set() for joint in skeleton.JOINTS}
for _side in ("right", "left"):
    for _upper, _lower, _ends in (
        ("upper_arm", "lower_arm", ("shoulder", "elbow", "wrist")),
        ("upper_leg", "lower_leg", ("hip", "knee", "ankle")),
    ):
        PARTS[f"{_side}_{_ends[0]}"] |= {f"{_side}_{_upper}", "torso"}
        PARTS[f"{_side}_{_ends[1]}"] |= {f"{_side}_{_upper}", f"{_side}_{_lower}"}
        PARTS[f"{_side}_{_ends[2]}"] |= {f"{_side}_{_lower}"}
PARTS |= {"head_top": {"head"}, "head": {"head"}, "neck": {"head", "torso"}}


def _redrawn(record, step):
    """The picture that the record's own camera would take."""
    points = (miniatures.body(step)[0] - record["camera_position"]) @ record["camera_rotation"].T
    seen = miniatures.lens(points, record["camera_distortion"].astype(float)).astype(np.float32)
    side = len(record["image"])
    up = record["camera_rotation"][:, 2].astype(float)
    return scene.render(miniatures.worn(), seen, up, record["camera_intrinsics"], side)


def _check_parts(record, picture):
    """The number of joints that are on their parts, within a pixel; hidden ones do not count."""
    labels, depth = picture.parts[..., 0], picture.depth[..., 0].astype(float)
    checked = 0
    for name, (x, y), (_, _, z) in zip(skeleton.JOINTS, record["joints_px"], record["joints_mm"]):
        row, column = int(y), int(x)
        if not labels[row, column] or depth[row, column] < z - 140:
            continue
        around = labels[row - 1 : row + 2, column - 1 : column + 2]
        seen = {skeleton.PART_NAMES[label - 1] for label in around.ravel() if label}
        assert seen & PARTS[name], f"{name} lies on {seen}"
        checked += 1
    return checked


@pytest.mark.parametrize("name", ["human36m", "mpi_inf_3dhp"])
def test_joints_lie_on_the_right_parts_of_the_prepared_picture(archives, name):
    reader = {"human36m": human36m_reader, "mpi_inf_3dhp": mpi_reader}[name]
    checked, total, shifts = 0, 0, []
    for sequence in reader.find(archives[name]).pieces:
        if not sequence.name.startswith("S1/"):
            continue
        for sighting in sequence.sightings():
            if not isinstance(sighting, Sighting):
                continue
            record = preparing.prepare(sighting, 128)
            picture = _redrawn(record, sighting.frame // miniatures.EVERY)
            mask, drawn = record["mask"][..., 0] > 0, picture.mask[..., 0] > 0
            assert np.sum(mask & drawn) / np.sum(mask | drawn) > 0.85
            middles = [np.mean(np.nonzero(m), axis=1) for m in (mask, drawn)]
            shifts.append(middles[0] - middles[1])
            # The mask's outline is that of the archive's larger pixels: colours count inside of it.
            inside = mask & drawn
            apart = np.abs(record["image"][inside].astype(int) - picture.image[inside])
            assert np.mean(apart) < 40
            checked, total = checked + _check_parts(record, picture), total + len(skeleton.JOINTS)
    assert checked > 0.7 * total
    # Thin parts, which the archive's larger pixels lose, move single figures more up and down.
    assert np.abs(shifts).max() < 1
    assert np.all(np.abs(np.mean(shifts, axis=0)) < (0.5, 0.15))


def _records(folder, split):
    import tensorflow as tf
    from array_record.python import array_record_module

    for shard in json.loads((folder / "manifest.json").read_text())["splits"][split]["shards"]:
        raw = array_record_module.ArrayRecordReader(str(folder / shard["file"])).read_all()
        for example in raw:
            yield tf.train.Example.FromString(example).features.feature


def _run(command, source, data_dir, capsys, *more):
    where = ["--source", str(source), "--data-dir", str(data_dir)]
    status = command.main([*where, "--config", "64", "--processes", "1", *more])
    return status, capsys.readouterr().err


def test_mpi_inf_3dhp_is_prepared_by_one_command(archives, tmp_path, capsys):
    status, said = _run(mpi_inf_3dhp, archives["mpi_inf_3dhp"], tmp_path, capsys)
    assert status == 0, said
    assert "dropped: 2 with a chair" in said
    data = prepared.open_prepared(str(tmp_path), "mpi_inf_3dhp", "64")
    counts = {name: split["records"] for name, split in data.manifest["splits"].items()}
    assert counts == {"train": 5, "validation": 2, "test": 2}
    assert data.image_size == 64
    with np.load(data.folder / "index-train.npz") as index:
        assert index["outfit_names"].tolist() == ["S1/Seq1", "S1/Seq2"]
    with np.load(data.folder / "index-test.npz") as index:
        assert index["person_names"].tolist() == ["S4"]
    record = next(_records(data.folder, "validation"))
    image = Image.open(io.BytesIO(record["image"].bytes_list.value[0]))
    assert image.size == (64, 64)
    assert image.getpixel((0, 0)) == conventions.MAGENTA
    assert record["order"].bytes_list.value[0] == b"mpi_inf_3dhp_28"
    assert len(record["original_mm"].float_list.value) == 28 * 3
    assert record["camera_model"].bytes_list.value[0] == b"none"


@pytest.fixture
def broken(archives, tmp_path):
    """The archive with a missing, a short and a corrupt video; their paths."""
    import shutil

    root = tmp_path / "archive"
    shutil.copytree(archives["human36m"], root)
    films = [root / f"S1/Videos/Walking 1.{camera}.mp4" for camera in CAMERAS[:3]]
    films[0].unlink()
    films[1].unlink()
    shots = miniatures.shots(1, 3, 200, True)
    bare = np.broadcast_to(miniatures.BACKGROUND, shots[0].image.shape)
    frames = miniatures.frames_of([shot.image for shot in shots], bare)
    miniatures.write_video(films[1], frames[:7], "libx264")
    films[2].write_bytes(films[2].read_bytes()[:5000])
    return root, films


def test_a_broken_archive_is_prepared_as_far_as_it_goes(broken, tmp_path, capsys, monkeypatch):
    root, (missing, short, corrupt) = broken
    data_dir = tmp_path / "data"
    # Killed after some pieces: what is finished stays.
    finished, finish = [], pieces.finish

    def until_killed(piece, *more):
        if len(finished) == 4:
            raise KeyboardInterrupt
        finished.append(piece.name)
        return finish(piece, *more)

    with monkeypatch.context() as patch:
        patch.setattr(pieces, "finish", until_killed)
        with pytest.raises(KeyboardInterrupt):
            _run(human36m, root, data_dir, capsys)
    assert not list(pathlib.Path(data_dir).rglob("manifest.json"))
    opened = []
    read = videos.read_frames
    monkeypatch.setattr(videos, "read_frames", lambda p, n: opened.append(p) or read(p, n))
    status, said = _run(human36m, root, data_dir, capsys)
    assert status == 1
    for line in (
        f"left out: {missing}: is missing",
        f"left out: {short}: has 7 frames, its poses 15; the rest is lost",
        f"left out: {corrupt}: cannot be opened as a video (Invalid data found",
        "13 images (",
    ):
        assert line in said, said
    # Only what was not finished before was read: of eleven pieces, seven.
    done = {name.split("/", 1)[1] for name in finished if name.startswith("S1/")}
    assert not any(p.stem in done and "/S1/" in str(p) for p in opened)
    assert len(opened) == 11 - 4
    data = prepared.open_prepared(str(data_dir), "human36m", "64")
    counts = {name: split["records"] for name, split in data.manifest["splits"].items()}
    assert counts == {"train": 5, "validation": 4, "test": 4}
    with np.load(data.folder / "index-train.npz") as index:
        assert index["camera_names"].tolist() == [CAMERAS[1], CAMERAS[3]]
        assert sorted(index["frame"].tolist()) == [0, 0, 5, 5, 10]
        assert index["action_names"].tolist() == ["Walking 1"]
    record = next(_records(data.folder, "train"))
    assert record["camera_model"].bytes_list.value[0] == b"human36m"
    assert record["order"].bytes_list.value[0] == b"human36m_32"
    distortion = record["camera_distortion"].float_list.value
    np.testing.assert_allclose(distortion, miniatures.DISTORTION, rtol=1e-6)


@pytest.mark.parametrize("command", [human36m, mpi_inf_3dhp])
def test_no_archive_is_one_line_and_status_2(command, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    status, said = _run(command, tmp_path / "empty", tmp_path / "data", capsys)
    assert status == 2
    assert "error: " in said
    assert "has none of the folders S1" in said
    status = command.main(["--source", str(tmp_path), "--config", "65"])
    said = capsys.readouterr().err
    assert status == 2
    assert "did you mean '64'?" in said or "did you mean '256'?" in said
