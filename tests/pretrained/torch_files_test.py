"""Files of torch.save in both formats: views, old files, and archives that claim what is not so."""

import struct
import sys
import zipfile

import numpy as np
import pytest
import torch_writer as by_hand
import weight_files

from volsynth.pretrained import torch_files, weights


@pytest.mark.parametrize("form", weight_files.WRITERS)
def test_views_of_storages_are_cut_out_of_them(tmp_path, form):
    """Offset, strides, and one storage under two names."""
    flat = np.arange(20, dtype=np.float32)
    entries = {
        "a.weight": by_hand.tensor("0", "float32", (2, 3), (1, 4), offset=2, count=20),
        "a.bias": by_hand.tensor("0", "float32", (3,), (1,), offset=17, count=20),
    }
    loaded = weight_files.load(
        tmp_path, weight_files.WRITERS[form](by_hand.state_dict(entries), {"0": flat})
    )
    np.testing.assert_array_equal(loaded["a.weight"], [[2, 6, 10], [3, 7, 11]])
    np.testing.assert_array_equal(loaded["a.bias"], [17, 18, 19])


def test_what_old_files_have_is_read(tmp_path):
    """Before torch 0.4, and from Python 2: tensors of the first kind, parameters by their class,
    arrays of a GPU, short strings, pairs in a list."""
    arrays = weight_files.arrays()
    first = by_hand.call(
        "torch._utils._rebuild_tensor",
        by_hand.storage("0", "float32", 6, b"N", module="torch.cuda"),
        by_hand.number(0), by_hand.numbers((2, 3)), by_hand.numbers((3, 1)),
    )  # fmt: skip
    parameter = by_hand.call("torch.nn.parameter.Parameter", first)
    parameter += b"(\x88\x89" + by_hand.ORDERED + b")Rtb"
    second = by_hand.call(
        "torch._utils._rebuild_parameter",
        by_hand.tensor("1", "float32", (3,), view=(b"N",)), b"\x88", by_hand.ORDERED + b")R",
    )  # fmt: skip
    pairs = [("a.weight", parameter), ("a.bias", second)]
    pairs = [b"](" + by_hand.text(name, python2=True) + value + b"e" for name, value in pairs]
    state = by_hand.pickled(by_hand.ORDERED + b"](" + b"".join(pairs) + b"e\x85R")
    weight_files.assert_equal(
        weight_files.load(tmp_path, by_hand.legacy(state, weight_files.flat(arrays))), arrays
    )


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_files_of_torch_itself(tmp_path, legacy, dtype):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(5, 4, dtype=getattr(torch, dtype))
    state = layer.state_dict() | {"turned": layer.weight.T, "n": torch.tensor(3)}
    state["parameter"] = layer.bias
    path = tmp_path / "file"
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    layout = {"weight": (4, 5), "bias": (4,), "turned": (5, 4), "parameter": (4,)}
    loaded = weights.load(path, layout)
    for name in layout:
        np.testing.assert_array_equal(loaded[name], state[name].detach().float().numpy())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("legacy", [False, True])
def test_every_protocol_of_pickle(tmp_path, legacy, protocol):
    torch = pytest.importorskip("torch")
    path = tmp_path / "file"
    # Enough names for long indices into the memo and for frames.
    state = {f"n{i}": torch.full((2,), float(i)) for i in range(300)}
    form = {"_use_new_zipfile_serialization": not legacy, "pickle_protocol": protocol}
    torch.save(state, path, **form)
    loaded = weights.load(path, {name: (2,) for name in state})
    assert [array.tolist() for array in loaded.values()] == [[i, i] for i in range(300)]


def test_an_array_that_is_cut_though_nobody_wants_it(tmp_path):
    whole = by_hand.legacy(
        by_hand.state_dict(weight_files.tensors(weight_files.arrays())),
        weight_files.flat(weight_files.arrays()),
    )
    wanted = {"a.weight": weight_files.LAYOUT["a.weight"]}
    assert list(weight_files.load(tmp_path, whole, wanted)) == ["a.weight"]
    for contents in (whole[:-1], whole + b"\x00"):
        weight_files.assert_refused(tmp_path, contents, r"bytes are wanted, there are \d+", wanted)


@pytest.mark.parametrize("form", weight_files.WRITERS)
def test_one_array_that_is_of_two_types(tmp_path, form):
    entries = {
        "a.weight": by_hand.tensor("0", "float32", (2, 3)),
        "a.bias": by_hand.tensor("0", "float16", (3,), count=6),
    }
    for array in (np.zeros(6, np.float32), np.zeros(6, np.float16)):
        for order in (entries, dict(reversed(entries.items()))):
            contents = weight_files.WRITERS[form](by_hand.state_dict(order), {"0": array})
            weight_files.assert_refused(tmp_path, contents, "truncated or damaged")


def test_an_archive_that_claims_more_than_it_has(tmp_path):
    """A size in the directory of an archive may be any; the view must not reach behind the data."""
    state = by_hand.state_dict({"a.weight": by_hand.tensor("0", "float32", (2, 3), count=1000)})
    contents = bytearray(by_hand.zipped(state, {"0": np.zeros(6, np.float32)}))
    at = contents.rindex(b"archive/data/0") - 46
    assert contents[at : at + 4] == b"PK\x01\x02"
    contents[at + 24 : at + 28] = struct.pack("<I", 4000)
    weight_files.assert_refused(
        tmp_path, bytes(contents), "truncated or damaged", {"a.weight": (2, 3)}
    )


def test_a_pickle_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_files, "_PICKLE_BYTES", 50)
    for form in weight_files.WRITERS:
        weight_files.assert_refused(
            tmp_path, weight_files.torch_file(form, weight_files.arrays()), "truncated or damaged"
        )


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "not a known format; known are safetensors and torch.save's"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "not a known format"),
        (by_hand.pickled(b"}"), "a pickle, but not one of torch.save"),
        (by_hand.legacy(by_hand.pickled(b"}"), {}, magic=5), "a pickle, but not one of torch.save"),
        (by_hand.legacy(by_hand.pickled(b"}"), {}, little_endian=b"\x89"), "is not little-endian"),
        (by_hand.zipped(by_hand.pickled(b"}"), {}, byteorder=b"big"), "is not little-endian"),
        (by_hand.zipped(by_hand.pickled(b"}"), {}, compression=zipfile.ZIP_DEFLATED), "a packed"),
        (by_hand.zipped(by_hand.pickled(b"}"), {}, root="a/b"), "an archive, but not one of torch"),
        (by_hand.zipped(by_hand.pickled(b"]"), {}), "is no state dict, but of type list"),
        (by_hand.legacy(by_hand.pickled(b"]"), {}), "is no state dict, but of type list"),
        (by_hand.zipped(by_hand.state_dict({"n": b"K\x01"}), {}), "'n' is of type int, not a"),
        (by_hand.legacy(by_hand.state_dict({"net": b"}"}), {}), "'net' is of type dict, not a"),
        (by_hand.zipped(by_hand.pickled(b"}K\x01K\x02s"), {}), "'1' is of type int, not a tensor"),
    ],
)  # fmt: skip
def test_what_is_no_state_dict(tmp_path, contents, message):
    weight_files.assert_refused(tmp_path, contents, message)


def test_reading_needs_no_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for form in weight_files.WRITERS:
        weight_files.assert_equal(
            weight_files.load(tmp_path, weight_files.torch_file(form, weight_files.arrays())),
            weight_files.arrays(),
        )
