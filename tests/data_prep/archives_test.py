"""Arrays and videos of foreign files: what is read, and what is said about damaged ones."""

import pathlib
import sys

import h5py
import miniatures
import numpy as np
import pytest
import scipy.io

from data_prep.reading import archives, videos
from data_prep.reading.archives import ArchiveError

RNG = np.random.default_rng(0)
FRAMES = [
    np.roll(RNG.integers(0, 255, (6, 6, 3), np.uint8).repeat(8, 0).repeat(8, 1), 4 * i, 1)
    for i in range(24)
]
CODECS = {"mp4": "libx264", "avi": "mpeg4", "mjpeg.avi": "mjpeg"}


@pytest.fixture(params=CODECS)
def film(request, tmp_path):
    path = tmp_path / f"film.{request.param}"
    miniatures.write_video(path, FRAMES, CODECS[request.param])
    return path


def _difference(a, b):
    return np.abs(a.astype(int) - b).mean()


def test_frames_are_those_of_their_numbers(film):
    assert videos.count_frames(film) == len(FRAMES)
    wanted = [0, 7, 8, 23]
    found = list(videos.read_frames(film, wanted))
    assert len(found) == len(wanted)
    for frame, number in zip(found, wanted):
        apart = [_difference(frame, other) for other in FRAMES]
        assert np.argmin(apart) == number
        assert sorted(apart)[1] > 2 * apart[number]
    assert list(videos.read_frames(film, [])) == []


def test_a_video_that_ends_early_is_named_after_its_last_frame(film):
    frames = videos.read_frames(film, [22, 23, 24])
    assert len([next(frames), next(frames)]) == 2
    with pytest.raises(ArchiveError, match=r"film.*: has 24 frames; frame 24 is wanted"):
        next(frames)


def _spoilt(path: pathlib.Path, start: float, stop: float) -> pathlib.Path:
    raw = bytearray(path.read_bytes())
    a, b = int(start * len(raw)), int(stop * len(raw))
    raw[a:b] = np.random.default_rng(a).integers(0, 256, b - a, np.uint8).tobytes()
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("start", [0.5, 0.6, 0.7])
def test_a_spoilt_video_yields_right_frames_and_then_an_error(film, start):
    good = list(videos.read_frames(film, range(24)))
    _spoilt(film, start, start + 0.1)
    found, said = [], "nothing"
    try:
        videos.count_frames(film)
        for frame in videos.read_frames(film, range(24)):
            found.append(frame)
    except ArchiveError as error:
        said = error.reason
    assert "cannot be" in said or "damaged" in said
    assert len(found) < 24
    for frame, same in zip(found, good):
        np.testing.assert_array_equal(frame, same)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"no video" * 90, "cannot be opened as a video"), (None, "is missing")],
)
def test_what_is_no_video_is_said(tmp_path, content, said):
    path = tmp_path / "film.avi"
    if content is not None:
        path.write_bytes(content)
    for use in (videos.count_frames, lambda p: list(videos.read_frames(p, [0]))):
        with pytest.raises(ArchiveError, match=rf"film\.avi: {said}"):
            use(path)


def test_a_video_cut_in_the_middle_is_damaged(film):
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 2 // 3])
    with pytest.raises(ArchiveError, match=r"cannot be opened|where its header says 24: it is"):
        videos.count_frames(film)


def test_a_file_with_sound_alone_holds_no_video(tmp_path):
    import wave

    with wave.open(str(tmp_path / "film.avi"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    with pytest.raises(ArchiveError, match="holds no video"):
        videos.count_frames(tmp_path / "film.avi")


def test_a_video_of_huge_frames_is_not_decoded(film, monkeypatch):
    monkeypatch.setattr(videos, "MAX_SIDE", 40)
    with pytest.raises(ArchiveError, match="has frames of 48 x 48; up to 40 are read"):
        videos.count_frames(film)


def test_arrays_of_every_kind_of_file(tmp_path):
    values = RNG.normal(size=(7, 96))
    miniatures.write_cdf(tmp_path / "a.cdf", values)
    np.testing.assert_allclose(
        archives.read_cdf(tmp_path / "a.cdf", "Pose")[0], values.astype(np.float32)
    )
    cells = np.empty((3, 1), object)
    for i in range(3):
        cells[i, 0] = values[i:]
    scipy.io.savemat(tmp_path / "a.mat", {"cells": cells, "plain": values, "other": 1.0})
    found = archives.read_mat(tmp_path / "a.mat", ("cells", "plain", "none"))
    assert set(found) == {"cells", "plain"}
    np.testing.assert_array_equal(found["plain"], values)
    np.testing.assert_array_equal(found["cells"][2], values[2:])
    with h5py.File(tmp_path / "b.mat", "w", userblock_size=512) as file:
        file["plain"] = values.T
        there = file.create_dataset("cells", (1, 2), dtype=h5py.ref_dtype)
        for i in range(2):
            there[0, i] = file.create_dataset(f"r{i}", data=values[i:].T).ref
    found = archives.read_mat(tmp_path / "b.mat", ("cells", "plain"))
    np.testing.assert_array_equal(found["plain"], values)
    np.testing.assert_array_equal(found["cells"][1], values[1:])


@pytest.mark.parametrize("ending", ["cdf", "h5", "mat"])
def test_damaged_arrays_are_said_in_one_line(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    if ending == "cdf":
        miniatures.write_cdf(path, RNG.normal(size=(7, 96)))
    elif ending == "h5":
        with h5py.File(path, "w") as file:
            file["Pose"] = RNG.normal(size=(96, 7))
    else:
        scipy.io.savemat(path, {"Pose": RNG.normal(size=(7, 96))})
    whole = path.read_bytes()

    def read():
        if ending == "cdf":
            return archives.read_cdf(path, "Pose")
        return archives.read_mat(path, ("Pose",))["Pose"]

    assert read().size == 7 * 96
    for content in (whole[:300], whole[: len(whole) // 2], whole[:130] + bytes(200)):
        path.write_bytes(content)
        with pytest.raises(ArchiveError, match=rf"a\.{ending}: (cannot be read as|has )") as caught:
            read()
        assert "\n" not in str(caught.value)
    path.write_bytes(b"")
    with pytest.raises(ArchiveError, match="is empty"):
        read()
    path.unlink()
    with pytest.raises(ArchiveError, match="is missing"):
        read()
    path.mkdir()
    with pytest.raises(ArchiveError, match="is no file"):
        read()


def test_variables_that_are_not_there_or_not_numbers(tmp_path):
    miniatures.write_cdf(tmp_path / "a.cdf", np.ones((2, 96)))
    with pytest.raises(ArchiveError, match="has no variable 'Other'"):
        archives.read_cdf(tmp_path / "a.cdf", "Other")
    scipy.io.savemat(tmp_path / "a.mat", {"text": "words"})
    with pytest.raises(ArchiveError, match="where numbers are expected"):
        archives.read_mat(tmp_path / "a.mat", ("text",))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["text"], file["numbers"] = np.array([b"words"]), np.ones(3)
        file.create_group("group")
    with archives.Hdf5(tmp_path / "a.h5") as file:
        for use, said in (
            (lambda: file.array("text"), "where numbers are expected"),
            (lambda: file.array("group"), "has no array in 'group'"),
            (lambda: file.array("none"), "has no variable 'none'"),
            (lambda: file.cells("numbers"), "has no cells in 'numbers'"),
        ):
            with pytest.raises(ArchiveError, match=said):
                use()


def test_nothing_is_read_from_beside_the_file(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["a"] = np.ones(3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = h5py.ExternalLink("secret.h5", "a")
        file["soft"] = h5py.SoftLink("/a")
        (tmp_path / "raw").write_bytes(np.ones(3).tobytes())
        file.create_dataset("raw", (3,), "f8", external=[(str(tmp_path / "raw"), 0, 24)])
        layout = h5py.VirtualLayout((3,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "a", (3,))
        file.create_virtual_dataset("virtual", layout)
    with archives.Hdf5(tmp_path / "a.h5") as file:
        for name, said in (
            ("a", "has a link for 'a'"), ("soft", "has a link for 'soft'"),
            ("raw", "in another file"), ("virtual", "in another file"),
        ):  # fmt: skip
            with pytest.raises(ArchiveError, match=said):
                file.array(name)


def test_no_more_memory_is_taken_than_allowed(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (1 << 20, 1 << 20), "f8", chunks=(1024, 1024))
    with (
        archives.Hdf5(tmp_path / "a.h5") as file,
        pytest.raises(ArchiveError, match="has an array of 8796093022208 bytes"),
    ):
        file.array("a")
    miniatures.write_cdf(tmp_path / "a.cdf", np.ones((9, 96)))
    monkeypatch.setattr(archives, "MAX_BYTES", 4000)
    with pytest.raises(ArchiveError, match="has an array of 6912 bytes"):
        archives.read_cdf(tmp_path / "a.cdf", "Pose")
    with pytest.raises(ArchiveError, match="bytes, more than the 10 that are read"):
        archives.check_file(tmp_path / "a.cdf", 10)


def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cdflib", None)
    with pytest.raises(ArchiveError, match=r"needs the package cdflib .*'\.\[data\]'"):
        archives.read_cdf(tmp_path / "a.cdf", "Pose")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ArchiveError, match="needs the package av"):
        videos.count_frames(tmp_path / "a.avi")


def test_numbers_have_to_be_finite():
    with pytest.raises(ArchiveError, match="not finite"):
        archives.check_finite(pathlib.Path("a"), np.array([1.0, np.nan]))
