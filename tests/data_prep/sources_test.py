"""Folders and archives from outside: what leads out of them, is no file or too large is refused."""

import io
import os
import tarfile
import zipfile

import pytest

from data_prep.errors import BuildError, SightingError
from data_prep.reading import sources


def _folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def _zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("empty/", b"")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def _tar(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


KINDS = {"folder": _folder, "a.zip": _zip, "a.tar.gz": _tar}


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_found_and_read_by_their_names(tmp_path, kind):
    path = tmp_path / kind
    source = sources.open_source(KINDS[kind](path, {"b/c.txt": b"two", "a.txt": b"one"}))
    assert source == (path, ("a.txt", "b/c.txt"), ())
    assert [sources.read(path, name) for name in source.names] == [b"one", b"two"]
    with pytest.raises(SightingError, match=r"b/d\.txt: is missing"):
        sources.read(path, "b/d.txt")


@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../out.txt", "leads out of its folder"),
        ("a/../../out.txt", "leads out of its folder"),
        ("/etc/out.txt", "is not the path of a file inside a folder"),
        ("C:/out.txt", "is not the path of a file inside a folder"),
        ("a\\out.txt", "is not the path of a file inside a folder"),
    ],
)
def test_an_entry_outside_of_the_archive_is_refused_and_the_rest_read(tmp_path, kind, name, reason):
    path = KINDS[kind](tmp_path / kind, {name: b"bad", "good.txt": b"good"})
    source = sources.open_source(path)
    assert source.names == ("good.txt",)
    (line,) = source.refused
    assert line.startswith(f"{path}: ")
    assert line.endswith(reason)
    with pytest.raises(SightingError, match=reason):
        sources.read(path, name)


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "/etc/hostname"])
def test_a_name_does_not_lead_out_of_a_folder(tmp_path, name):
    (tmp_path / "secret").write_text("x")
    folder = _folder(tmp_path / "folder", {"a/b": b""})
    with pytest.raises(SightingError, match=r"leads out|is not the path"):
        sources.read(folder, name)


def test_links_are_not_followed_out_of_their_folder(tmp_path):
    (tmp_path / "secret").write_text("x")
    folder = _folder(tmp_path / "folder", {"a": b"x"})
    os.symlink(tmp_path / "secret", folder / "link")
    os.symlink(folder / "a", folder / "inside")
    with pytest.raises(SightingError, match="is a link that leads out of its folder"):
        sources.read(folder, "link")
    assert sources.read(folder, "inside") == b"x"


def test_links_in_archives_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/hostname")
    for path in (tmp_path / "a.tar", tmp_path / "a.zip"):
        (line,) = sources.open_source(path).refused
        assert "'link' is a link" in line
        with pytest.raises(SightingError, match="is a link"):
            sources.read(path, "link")


def test_an_encrypted_entry_is_refused(tmp_path):
    path = _zip(tmp_path / "a.zip", {"a.txt": b"x"})
    content = bytearray(path.read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.rindex(header) + flags] |= 1
    path.write_bytes(content)
    (line,) = sources.open_source(path).refused
    assert line.endswith("is encrypted; unpack the archive with its password first")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_too_large_is_refused(tmp_path, kind, monkeypatch):
    path = KINDS[kind](tmp_path / kind, {"a": b"12345", "b": b"1234"})
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 4)
    with pytest.raises(SightingError, match="a: has 5 bytes, more than 4"):
        sources.read(path, "a")
    assert sources.read(path, "b") == b"1234"


def test_an_entry_that_unpacks_to_more_than_it_says_is_refused(tmp_path, monkeypatch):
    path = _zip(tmp_path / "a.zip", {"a": bytes(1000)})
    sources.open_source(path)
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 100)
    monkeypatch.setattr(sources, "_zip_fault", lambda entry: "")
    with pytest.raises(SightingError, match="has 101 bytes, more than 100"):
        sources.read(path, "a")


def test_what_is_no_source_is_named(tmp_path, monkeypatch):
    with pytest.raises(BuildError, match="no folder, and no zip or tar archive"):
        sources.open_source(tmp_path / "none")
    (tmp_path / "text").write_text("x")
    with pytest.raises(BuildError, match="no folder, and no zip or tar archive"):
        sources.open_source(tmp_path / "text")
    path = _tar(tmp_path / "cut.tar.gz", {str(i): os.urandom(2000) for i in range(20)})
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(BuildError, match=r"cut\.tar\.gz cannot be read"):
        sources.open_source(path)
    monkeypatch.setattr(sources, "MAX_FILES", 1)
    with pytest.raises(BuildError, match="has 2 files, more than 1"):
        sources.open_source(_folder(tmp_path / "two", {"a": b"", "b": b""}))


def test_a_damaged_entry_is_named(tmp_path):
    path = _zip(tmp_path / "a.zip", {"a": os.urandom(500)})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x03\x04", 20) + 100] ^= 255
    path.write_bytes(content)
    with pytest.raises(SightingError, match=r"a: cannot be read \(Bad CRC-32"):
        sources.read(path, "a")


def test_a_stamp_changes_with_the_file(tmp_path):
    folder = _folder(tmp_path / "folder", {"a": b"x"})
    before = sources.stamp(folder, "a")
    assert sources.stamp(folder, "a") == before
    (folder / "a").write_bytes(b"xy")
    assert sources.stamp(folder, "a") != before
    assert sources.stamp(folder, "b") == "missing"
