"""Whatever happens to a folder after its manifest was written shows."""

import pytest

from volsynth.train import manifest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "used" / "deep").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "top").write_bytes(b"top")
    (tmp_path / "used" / "deep" / "a").write_bytes(b"abc")
    (tmp_path / "other" / "b").write_bytes(b"")
    (tmp_path / "other" / "c").write_bytes(b"123")
    manifest.write(tmp_path, {"step": 3})
    return tmp_path


def test_a_folder_that_was_left_alone_is_good(folder):
    assert manifest.verify(folder) == manifest.read(folder) == {"step": 3}
    assert manifest.verify(folder, ("used",)) == {"step": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "top").unlink(), "^top is missing$"),
        (lambda f: (f / "other" / "b").unlink(), "^other/b is missing$"),
        (lambda f: (f / "used" / "b").touch(), "^used/b is not in its manifest$"),
        (lambda f: (f / "link").symlink_to(f / "used"), "^link is not in its manifest$"),
        (lambda f: (f / "other" / "c").write_bytes(b"12"), "^other/c has 2 bytes instead of 3$"),
        (lambda f: (f / "used" / "deep" / "a").write_bytes(b"abb"), "SHA-256 of used/deep/a is an"),
        (lambda f: (f / "top").write_bytes(b"tor"), "SHA-256 of top is another"),
        (lambda f: (f / "manifest.json").unlink(), r"^manifest\.json is missing$"),
    ],
)
@pytest.mark.parametrize("parts", [None, ("used",)])
def test_what_changed_is_named(folder, change, message, parts):
    change(folder)
    with pytest.raises(manifest.DamagedError, match=message):
        manifest.verify(folder, parts)


def test_contents_of_what_is_not_used_are_not_read(folder):
    (folder / "other" / "c").write_bytes(b"124")
    manifest.verify(folder, ("used",))
    with pytest.raises(manifest.DamagedError, match="SHA-256 of other/c is another"):
        manifest.verify(folder)


def test_every_byte_of_the_manifest_counts(folder):
    path = folder / "manifest.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(manifest.DamagedError, match=r"manifest\.json was changed or cut"):
            manifest.read(folder)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(manifest.DamagedError, match=r"manifest\.json was changed or cut"):
            manifest.read(folder)


def test_a_folder_in_place_of_a_file(folder):
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").mkdir()
    with pytest.raises(manifest.DamagedError, match=r"manifest\.json cannot be read: Is a dir"):
        manifest.verify(folder)
