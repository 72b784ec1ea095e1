"""Reading and writing of weights: every format and type, and every error."""

import os

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import weight_files

from volsynth.errors import UserError
from volsynth.pretrained import weights

# --- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
def test_every_format_and_type_becomes_float32(tmp_path, form, dtype):
    arrays = weight_files.arrays(jnp.dtype(dtype))
    if form == "safetensors":
        contents = safetensors.numpy.save(arrays)
        assert dtype != "bfloat16" or b'"BF16"' in contents
    else:
        contents = weight_files.torch_file(form, arrays)
    weight_files.assert_equal(weight_files.load(tmp_path, contents), arrays)


def test_other_arrays_of_a_file_are_passed_over(tmp_path):
    arrays = weight_files.arrays()
    more = arrays | {"n": np.arange(3), "x": np.full(2, np.nan, np.float32)}
    for form in weight_files.WRITERS:
        weight_files.assert_equal(
            weight_files.load(tmp_path, weight_files.torch_file(form, more)), arrays
        )
    weight_files.assert_equal(weight_files.load(tmp_path, safetensors.numpy.save(more)), arrays)


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["safetensors", *weight_files.WRITERS])
def test_a_file_cut_anywhere(tmp_path, form):
    arrays = weight_files.arrays()
    whole = (
        safetensors.numpy.save(arrays)
        if form == "safetensors"
        else weight_files.torch_file(form, arrays)
    )
    for length in {*range(0, len(whole), 7), len(whole) - 1}:
        weight_files.assert_refused(
            tmp_path, whole[:length], "truncated or damaged|not a known format"
        )


@pytest.mark.parametrize("form", ["safetensors", *weight_files.WRITERS])
def test_a_changed_byte_is_an_error_or_does_not_matter(tmp_path, form):
    """Never another exception; in an archive, never other values either: it has checksums."""
    arrays = weight_files.arrays()
    whole = (
        safetensors.numpy.save(arrays)
        if form == "safetensors"
        else weight_files.torch_file(form, arrays)
    )
    path, rng, failed = tmp_path / "file", np.random.default_rng(1), 0
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= rng.integers(1, 256)
        path.write_bytes(changed)
        try:
            loaded = weights.load(path, weight_files.LAYOUT)
        except UserError:
            failed += 1
        else:
            if form == "zip":
                weight_files.assert_equal(loaded, arrays)
    assert failed > len(whole) / 12


def test_a_value_that_changes_unseen_is_at_least_finite(tmp_path):
    for value in (np.nan, np.inf, -np.inf):
        arrays = weight_files.arrays()
        arrays["a.bias"][1] = value
        weight_files.assert_refused(
            tmp_path, safetensors.numpy.save(arrays), "'a.bias': .*values that are not finite"
        )


# --- other errors --------------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"no such file\. For one, .*volsynth weights convert IN"):
        weights.load(tmp_path / "file", weight_files.LAYOUT)


def test_what_is_no_file(tmp_path):
    with pytest.raises(UserError, match="is not a regular file"):
        weights.load(tmp_path, weight_files.LAYOUT)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is not a regular file"):
        weights.load(tmp_path / "pipe", weight_files.LAYOUT)


def test_a_file_that_cannot_be_read(tmp_path):
    path = tmp_path / "file"
    path.touch()
    for function in (
        lambda: weights.load(path / "x", weight_files.LAYOUT),
        lambda: weights.sha256(path / "x"),
    ):
        with pytest.raises(UserError, match=r"cannot be read \(.*Not a directory"):
            function()


@pytest.mark.parametrize("stage", ["_first_bytes", "_entries"])
def test_a_disk_that_fails(tmp_path, monkeypatch, stage):
    def fails(*_):
        raise OSError("input/output error")

    path = tmp_path / "file"
    path.write_bytes(safetensors.numpy.save(weight_files.arrays()))
    if stage == "_first_bytes":
        monkeypatch.setattr(weights.pathlib.Path, "open", fails)
    else:
        monkeypatch.setattr(weights, "_entries", fails)
    with pytest.raises(UserError, match=r"cannot be read \(input/output error\)"):
        weights.load(path, weight_files.LAYOUT)


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(weights.MAX_BYTES + 1)
    with pytest.raises(UserError, match=f"{weights.MAX_BYTES + 1} bytes; at most"):
        weights.load(path, weight_files.LAYOUT)


@pytest.mark.parametrize("form", ["safetensors", *weight_files.WRITERS])
def test_arrays_that_do_not_fit_the_network(tmp_path, form):
    def check(message, **changes):
        arrays = {k: v for k, v in (weight_files.arrays() | changes).items() if v is not None}
        whole = safetensors.numpy.save(arrays)
        contents = whole if form == "safetensors" else weight_files.torch_file(form, arrays)
        weight_files.assert_refused(tmp_path, contents, message)

    missing = r"'a\.bias': expected shape \(3,\), found no such array \(but 'a\.weight', …\)"
    check(missing, **{"a.bias": None})
    check(r"but nothing\)", **{"a.bias": None, "a.weight": None})
    other = np.zeros((3, 2), np.float32)
    check(r"'a\.weight': expected shape \(2, 3\), found \(3, 2\)\.", **{"a.weight": other})
    wanted = r"'a\.bias': expected float16, bfloat16, float32, found (int64|I64)\."
    check(wanted, **{"a.bias": np.arange(3)})


# --- writing -------------------------------------------------------------------------------------


def test_what_is_saved_is_loaded_and_names_its_network(tmp_path):
    arrays, path = weight_files.arrays(), tmp_path / "folder" / "x.safetensors"
    weights.save(path, arrays, "net")
    weight_files.assert_equal(weights.load(path, weight_files.LAYOUT), arrays)
    assert weights.network_name(path) == "net"
    first = weights.sha256(path)
    weights.save(path, dict(reversed(arrays.items())), "net")
    assert weights.sha256(path) == first
    path.write_bytes(safetensors.numpy.save(arrays))
    assert weights.network_name(path) == ""
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="truncated or damaged"):
        weights.network_name(path)


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        weights.save(tmp_path / "file" / "x.safetensors", weight_files.arrays(), "net")
