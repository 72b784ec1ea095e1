"""Files are whole or not there."""

import os

import pytest

from volsynth import files


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_the_folders_that_it_needs(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    files.write_text(path, "grün\n")
    assert path.read_bytes() == "grün\n".encode()
    assert _names(path.parent) == ["file.txt"]


def test_an_old_file_is_replaced(tmp_path):
    path = tmp_path / "file"
    files.write_atomically(str(path), lambda file: file.write(b"a longer old content"))
    files.write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"
    assert _names(tmp_path) == ["file"]


def test_whoever_looks_while_it_is_written_sees_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    seen = []

    def write(file):
        file.write(b"new")
        file.flush()
        seen.append(path.read_bytes())

    files.write_atomically(path, write)
    assert seen == [b"old"]
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_no_rubbish(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"half")
        raise error

    with pytest.raises(error):
        files.write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert _names(tmp_path) == ["file"]


def test_a_failure_where_there_was_no_file_leaves_none(tmp_path):
    with pytest.raises(TypeError):
        files.write_atomically(tmp_path / "file", lambda file: file.write("text"))
    assert _names(tmp_path) == []


def test_a_failing_rename_leaves_no_rubbish(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        files.write_text(tmp_path / "file", "text")
    assert _names(tmp_path) == ["file"]


def test_it_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, r=real: calls.append(n) or r(*a))
    files.write_text(tmp_path / "file", "text")
    assert calls == ["fsync", "replace"]


def test_a_place_is_looked_at_without_a_trace(tmp_path):
    files.check_place(tmp_path / "a" / "b" / "file")
    files.check_place(str(tmp_path / "file"))
    assert _names(tmp_path) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        files.check_place(tmp_path / "file" / "other")


def test_only_regular_files_are_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to_pipe").symlink_to("pipe")
    for name in ("file", "link"):
        with files.open_regular(tmp_path / name) as file:
            assert file.read() == b"abc"
    with files.open_regular(str(tmp_path / "file"), links=False) as file:
        assert file.read() == b"abc"
    for path, links in (("link", False), ("pipe", True), ("to_pipe", True), ("/dev/null", True)):
        with pytest.raises(files.NotRegularError, match="it is no regular file"):
            files.open_regular(tmp_path / path, links)
    with pytest.raises(IsADirectoryError):
        files.open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        files.open_regular(tmp_path / "none")
