"""Reading of weights: every format and type, every error, and nothing of a file is ever run."""

import io
import os
import pickle
import struct
import sys
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import torch_writer as by_hand

from volsynth.errors import UserError
from volsynth.pretrained import torch_files, unpickle, vgg, weights

LAYOUT = {"a.weight": (2, 3), "a.bias": (3,)}
WRITERS = {"zip": by_hand.zipped, "legacy": by_hand.legacy}


def _arrays(dtype="float32"):
    rng = np.random.default_rng(0)
    # Without bits that bfloat16 would lose.
    return {name: np.round(rng.uniform(-9, 9, s)).astype(dtype) for name, s in LAYOUT.items()}


def _flat(arrays):
    return {str(i): array.ravel() for i, array in enumerate(arrays.values())}


def _tensors(arrays, **rest):
    return {
        name: by_hand.tensor(str(i), array.dtype.name, array.shape, **rest)
        for i, (name, array) in enumerate(arrays.items())
    }


def _torch_file(form, arrays):
    return WRITERS[form](by_hand.state_dict(_tensors(arrays)), _flat(arrays))


def _load(tmp_path, contents, layout=LAYOUT):
    path = tmp_path / "file"
    path.write_bytes(contents)
    return weights.load(path, layout)


def _equal(loaded, arrays):
    assert list(loaded) == list(LAYOUT)
    for name, array in loaded.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, arrays[name].astype(np.float32))


def _refused(tmp_path, contents, message, layout=LAYOUT):
    with pytest.raises(UserError, match=message) as error:
        _load(tmp_path, contents, layout)
    assert str(error.value).startswith(f"weights {str(tmp_path / 'file')!r}: ")
    assert "\n" not in str(error.value)


# --- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
def test_every_format_and_type_becomes_float32(tmp_path, form, dtype):
    arrays = _arrays(jnp.dtype(dtype))
    if form == "safetensors":
        contents = safetensors.numpy.save(arrays)
        assert dtype != "bfloat16" or b'"BF16"' in contents
    else:
        contents = _torch_file(form, arrays)
    _equal(_load(tmp_path, contents), arrays)


@pytest.mark.parametrize("form", WRITERS)
def test_views_of_storages_are_cut_out_of_them(tmp_path, form):
    """Offset, strides, and one storage under two names."""
    flat = np.arange(20, dtype=np.float32)
    entries = {
        "a.weight": by_hand.tensor("0", "float32", (2, 3), (1, 4), offset=2, count=20),
        "a.bias": by_hand.tensor("0", "float32", (3,), (1,), offset=17, count=20),
    }
    loaded = _load(tmp_path, WRITERS[form](by_hand.state_dict(entries), {"0": flat}))
    np.testing.assert_array_equal(loaded["a.weight"], [[2, 6, 10], [3, 7, 11]])
    np.testing.assert_array_equal(loaded["a.bias"], [17, 18, 19])


def test_what_old_files_have_is_read(tmp_path):
    """Before torch 0.4, and from Python 2: tensors of the first kind, parameters by their class,
    arrays of a GPU, short strings, pairs in a list."""
    arrays = _arrays()
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
    _equal(_load(tmp_path, by_hand.legacy(state, _flat(arrays))), arrays)


def test_other_arrays_of_a_file_are_passed_over(tmp_path):
    arrays = _arrays()
    more = arrays | {"n": np.arange(3), "x": np.full(2, np.nan, np.float32)}
    for form in WRITERS:
        _equal(_load(tmp_path, _torch_file(form, more)), arrays)
    _equal(_load(tmp_path, safetensors.numpy.save(more)), arrays)


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


# --- nothing is run ------------------------------------------------------------------------------


class _Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_pairs_that_are_no_list_are_refused(tmp_path):
    path = tmp_path / "bad.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02ccollections\nOrderedDict\n)\x85R.")
    with pytest.raises(UserError, match="pairs of what is no list"):
        weights.load(path, vgg.torch_layout(1))


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("form", ["zip", "legacy", "alone", "first"])
def test_what_a_pickle_calls_is_named_and_not_run(tmp_path, form, protocol):
    mark = tmp_path / "mark"
    evil = pickle.dumps({"a.weight": _Evil(mark)}, protocol)
    contents = {
        "zip": by_hand.zipped(evil, {}),
        "legacy": by_hand.legacy(evil, {}),
        "alone": evil,
        "first": evil + by_hand.legacy(by_hand.state_dict({}), {}),
    }[form]
    _refused(tmp_path, contents, r"its pickle wants (posix|nt)\.system, .*nothing of it was run\.")
    assert not mark.exists()
    pickle.loads(evil)
    assert mark.exists()  # It would have been.


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"cbuiltins\neval\n(X\x01\x00\x00\x001tR", "builtins.eval"),
        (b"\x8c\x08builtins\x8c\x04eval\x93", "builtins.eval"),
        (b"(ibuiltins\neval\n", "builtins.eval"),
        (b"(icollections\nOrderedDict\n", "the instruction INST"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n)\x81", "the instruction NEWOBJ"),
        (b"ctorch\nload\n", "torch.load"),
        (b"ccollections\nOrderedDict.fromkeys\n", "collections.OrderedDict.fromkeys"),
        (b"\x82\x01", "the instruction EXT1"),
        (b"c" + b"x" * 500 + b"\ny\n", r"x{100}, which"),
        (b"cx\x1b[2J\ny\n", r"'x\\x1b\[2J\.y'"),
    ],
)
def test_other_instructions_and_names_are_refused(tmp_path, body, wanted):
    for write in WRITERS.values():
        _refused(tmp_path, write(by_hand.pickled(body), {}), f"its pickle wants {wanted}")


def test_only_reading_is_imported():
    assert "torch" not in vars(unpickle) | vars(torch_files) | vars(weights)
    assert "pickle" not in vars(unpickle) | vars(torch_files) | vars(weights)


# --- damage --------------------------------------------------------------------------------------


def _view(**changes):
    settings = {"key": "0", "dtype": "float32", "shape": (2, 3)} | changes
    return by_hand.state_dict({"a.weight": by_hand.tensor(**settings)})


STORAGE = by_hand.storage("0", "float32", 6)
TENSOR = "torch._utils._rebuild_tensor_v2"


@pytest.mark.parametrize(
    "state",
    [
        _view(offset=1),
        _view(strides=(4, 1)),
        _view(shape=(2**20, 2**20), strides=(0, 0), count=6),
        _view(offset=-1, count=6),
        _view(strides=(-3, 1)),
        _view(strides=(1,)),
        _view(shape=(1,) * 33, count=6),
        _view(count=7),
        _view(key="9"),
        _view(dtype="float16"),
        by_hand.pickled(b""),
        by_hand.pickled(b"))"),
        b"\x80\x02}",
        b"\x80\x02\xff",
        by_hand.pickled(b"h\x05"),
        by_hand.pickled(b"j\xff\xff\xff\x7f"),
        by_hand.pickled(b"}K\x01s"),
        by_hand.pickled(b"](K\x01u"),
        by_hand.pickled(b"}(K\x01u"),
        by_hand.pickled(b"})K\x01s"),
        by_hand.pickled(b"}K\x01a"),
        by_hand.pickled(b"K\x01K\x01b"),
        by_hand.pickled(b"K\x01)R"),
        by_hand.pickled(b"ctorch\nFloatStorage\n)R"),
        by_hand.pickled(b"ccollections\nOrderedDict\n(K\x01tR"),
        by_hand.pickled(b"(K\x01K\x02tQ"),
        by_hand.pickled(by_hand.call(TENSOR, b"K\x01", b"K\x00", b")", b")")),
        by_hand.pickled(by_hand.call("torch._utils._rebuild_parameter", b"K\x01")),
        by_hand.pickled(b"(" + by_hand.text("other") + b"ctorch\nFloatStorage\nX\x00\x00\x00\x00"
                        b"NK\x01tQ"),
        by_hand.pickled(b"(" + by_hand.text("storage") + b"ccollections\nOrderedDict\n"
                        b"X\x00\x00\x00\x00NK\x01tQ"),
    ],
    ids=lambda state: None if isinstance(state, str) else "",
)  # fmt: skip
@pytest.mark.parametrize("form", WRITERS)
def test_a_damaged_pickle(tmp_path, form, state):
    flat = np.arange(6, dtype=np.float32)
    message = "truncated or damaged .*; get the file again"
    _refused(tmp_path, WRITERS[form](state, {"0": flat}), message, {"a.weight": (2, 3)})


def test_a_key_that_is_nested_deeper_than_the_stack_of_python(tmp_path):
    nested = by_hand.pickled(b"})" + b"\x85" * (2 * 10**5) + b"K\x01s")
    _refused(tmp_path, by_hand.zipped(nested, {}), "without names")


def _doubled(body=b""):
    """A value that holds itself twice, sixty levels deep, on top of the stack."""
    return b")" + b"".join(bytes([ord("q"), i, ord("h"), i, 0x86]) for i in range(60)) + body


@pytest.mark.parametrize(
    "state",
    [
        by_hand.pickled(_doubled(by_hand.text("x") + b"\x93")),
        by_hand.pickled(by_hand.text("x") + _doubled(b"\x93")),
        by_hand.pickled(b"}" + _doubled(b"K\x01s")),
        by_hand.pickled(_doubled(b"K\x01s")),
        by_hand.pickled(_doubled(b"Q")),
        by_hand.pickled(_doubled(b"\x85R")),
        by_hand.pickled(b"ccollections\nOrderedDict\n(" + _doubled(b"tR")),
        by_hand.pickled(by_hand.call(TENSOR, STORAGE, b"K\x00", _doubled(), _doubled())),
    ],
    ids=lambda state: "",
)  # fmt: skip
@pytest.mark.parametrize("form", WRITERS)
def test_what_is_short_in_a_file_and_long_in_memory(tmp_path, form, state):
    _refused(tmp_path, WRITERS[form](state, {}), "truncated or damaged")


def test_names_of_storages_that_are_none(tmp_path):
    contents = by_hand.legacy(by_hand.pickled(b"}"), {})
    assert contents.endswith(by_hand.pickled(b"](e"))
    contents = contents.removesuffix(by_hand.pickled(b"](e"))
    contents += by_hand.pickled(b"](" + _doubled(b"e"))
    _refused(tmp_path, contents, "a storage without a name")


def test_a_list_of_pairs_serves_one_dictionary(tmp_path):
    pairs = b"](](" + by_hand.text("a") + b"K\x01eeq\x00"
    made = b"ccollections\nOrderedDict\n"
    state = by_hand.pickled(made + pairs + b"\x85R" + made + b"h\x00\x85R\x86")
    first, second = unpickle.read(io.BytesIO(state))
    assert (first, second) == ({"a": 1}, {})


def test_an_array_that_is_cut_though_nobody_wants_it(tmp_path):
    whole = by_hand.legacy(by_hand.state_dict(_tensors(_arrays())), _flat(_arrays()))
    wanted = {"a.weight": LAYOUT["a.weight"]}
    assert list(_load(tmp_path, whole, wanted)) == ["a.weight"]
    for contents in (whole[:-1], whole + b"\x00"):
        _refused(tmp_path, contents, r"bytes are wanted, there are \d+", wanted)


@pytest.mark.parametrize("form", WRITERS)
def test_one_array_that_is_of_two_types(tmp_path, form):
    entries = {
        "a.weight": by_hand.tensor("0", "float32", (2, 3)),
        "a.bias": by_hand.tensor("0", "float16", (3,), count=6),
    }
    for array in (np.zeros(6, np.float32), np.zeros(6, np.float16)):
        for order in (entries, dict(reversed(entries.items()))):
            contents = WRITERS[form](by_hand.state_dict(order), {"0": array})
            _refused(tmp_path, contents, "truncated or damaged")


def test_a_view_of_a_storage(tmp_path):
    view = b"(" + by_hand.text("1") + by_hand.number(0) + by_hand.number(6) + b"t"
    state = by_hand.state_dict({"a": by_hand.tensor("0", "float32", (2, 3), view=(view,))})
    _refused(tmp_path, by_hand.legacy(state, {}), "its pickle wants a view of a storage")


@pytest.mark.parametrize("form", ["safetensors", *WRITERS])
def test_a_file_cut_anywhere(tmp_path, form):
    arrays = _arrays()
    whole = safetensors.numpy.save(arrays) if form == "safetensors" else _torch_file(form, arrays)
    for length in {*range(0, len(whole), 7), len(whole) - 1}:
        _refused(tmp_path, whole[:length], "truncated or damaged|not a known format")


@pytest.mark.parametrize("form", ["safetensors", *WRITERS])
def test_a_changed_byte_is_an_error_or_does_not_matter(tmp_path, form):
    """Never another exception; in an archive, never other values either: it has checksums."""
    arrays = _arrays()
    whole = safetensors.numpy.save(arrays) if form == "safetensors" else _torch_file(form, arrays)
    path, rng, failed = tmp_path / "file", np.random.default_rng(1), 0
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= rng.integers(1, 256)
        path.write_bytes(changed)
        try:
            loaded = weights.load(path, LAYOUT)
        except UserError:
            failed += 1
        else:
            if form == "zip":
                _equal(loaded, arrays)
    assert failed > len(whole) / 12


def test_an_archive_that_claims_more_than_it_has(tmp_path):
    """A size in the directory of an archive may be any; the view must not reach behind the data."""
    contents = bytearray(by_hand.zipped(_view(count=1000), {"0": np.zeros(6, np.float32)}))
    at = contents.rindex(b"archive/data/0") - 46
    assert contents[at : at + 4] == b"PK\x01\x02"
    contents[at + 24 : at + 28] = struct.pack("<I", 4000)
    _refused(tmp_path, bytes(contents), "truncated or damaged", {"a.weight": (2, 3)})


def test_a_value_that_changes_unseen_is_at_least_finite(tmp_path):
    for value in (np.nan, np.inf, -np.inf):
        arrays = _arrays()
        arrays["a.bias"][1] = value
        _refused(tmp_path, safetensors.numpy.save(arrays), "'a.bias': .*values that are not finite")


# --- other errors --------------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"no such file\. For one, .*volsynth weights convert IN"):
        weights.load(tmp_path / "file", LAYOUT)


def test_what_is_no_file(tmp_path):
    with pytest.raises(UserError, match="is not a regular file"):
        weights.load(tmp_path, LAYOUT)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is not a regular file"):
        weights.load(tmp_path / "pipe", LAYOUT)


def test_a_file_that_cannot_be_read(tmp_path):
    path = tmp_path / "file"
    path.touch()
    for function in (lambda: weights.load(path / "x", LAYOUT), lambda: weights.sha256(path / "x")):
        with pytest.raises(UserError, match=r"cannot be read \(.*Not a directory"):
            function()


@pytest.mark.parametrize("stage", ["_first_bytes", "_entries"])
def test_a_disk_that_fails(tmp_path, monkeypatch, stage):
    def fails(*_):
        raise OSError("input/output error")

    path = tmp_path / "file"
    path.write_bytes(safetensors.numpy.save(_arrays()))
    if stage == "_first_bytes":
        monkeypatch.setattr(weights.pathlib.Path, "open", fails)
    else:
        monkeypatch.setattr(weights, "_entries", fails)
    with pytest.raises(UserError, match=r"cannot be read \(input/output error\)"):
        weights.load(path, LAYOUT)


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(weights.MAX_BYTES + 1)
    with pytest.raises(UserError, match=f"{weights.MAX_BYTES + 1} bytes; at most"):
        weights.load(path, LAYOUT)


def test_a_pickle_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_files, "_PICKLE_BYTES", 50)
    for form in WRITERS:
        _refused(tmp_path, _torch_file(form, _arrays()), "truncated or damaged")


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
    _refused(tmp_path, contents, message)


@pytest.mark.parametrize("form", ["safetensors", *WRITERS])
def test_arrays_that_do_not_fit_the_network(tmp_path, form):
    def check(message, **changes):
        arrays = {k: v for k, v in (_arrays() | changes).items() if v is not None}
        whole = safetensors.numpy.save(arrays)
        contents = whole if form == "safetensors" else _torch_file(form, arrays)
        _refused(tmp_path, contents, message)

    missing = r"'a\.bias': expected shape \(3,\), found no such array \(but 'a\.weight', …\)"
    check(missing, **{"a.bias": None})
    check(r"but nothing\)", **{"a.bias": None, "a.weight": None})
    other = np.zeros((3, 2), np.float32)
    check(r"'a\.weight': expected shape \(2, 3\), found \(3, 2\)\.", **{"a.weight": other})
    wanted = r"'a\.bias': expected float16, bfloat16, float32, found (int64|I64)\."
    check(wanted, **{"a.bias": np.arange(3)})


# --- writing -------------------------------------------------------------------------------------


def test_what_is_saved_is_loaded_and_names_its_network(tmp_path):
    arrays, path = _arrays(), tmp_path / "folder" / "x.safetensors"
    weights.save(path, arrays, "net")
    _equal(weights.load(path, LAYOUT), arrays)
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
        weights.save(tmp_path / "file" / "x.safetensors", _arrays(), "net")


def test_reading_needs_no_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for form in WRITERS:
        _equal(_load(tmp_path, _torch_file(form, _arrays())), _arrays())
