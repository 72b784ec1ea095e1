"""Pickles in files of torch: nothing is ever run, and damaged ones are errors of one line."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch_writer as by_hand
import weight_files

from volsynth.errors import UserError
from volsynth.pretrained import torch_files, unpickle, vgg, weights


def test_pairs_that_are_no_list_are_refused(tmp_path):
    path = tmp_path / "bad.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02ccollections\nOrderedDict\n)\x85R.")
    with pytest.raises(UserError, match="pairs of what is no list"):
        weights.load(path, vgg.torch_layout(1))


class _Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


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
    weight_files.assert_refused(
        tmp_path, contents, r"its pickle wants (posix|nt)\.system, .*nothing of it was run\."
    )
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
    for write in weight_files.WRITERS.values():
        weight_files.assert_refused(
            tmp_path, write(by_hand.pickled(body), {}), f"its pickle wants {wanted}"
        )


def test_only_reading_is_imported():
    assert "torch" not in vars(unpickle) | vars(torch_files) | vars(weights)
    assert "pickle" not in vars(unpickle) | vars(torch_files) | vars(weights)


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
@pytest.mark.parametrize("form", weight_files.WRITERS)
def test_a_damaged_pickle(tmp_path, form, state):
    flat = np.arange(6, dtype=np.float32)
    message = "truncated or damaged .*; get the file again"
    weight_files.assert_refused(
        tmp_path, weight_files.WRITERS[form](state, {"0": flat}), message, {"a.weight": (2, 3)}
    )


def test_a_key_that_is_nested_deeper_than_the_stack_of_python(tmp_path):
    nested = by_hand.pickled(b"})" + b"\x85" * (2 * 10**5) + b"K\x01s")
    weight_files.assert_refused(tmp_path, by_hand.zipped(nested, {}), "without names")


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
@pytest.mark.parametrize("form", weight_files.WRITERS)
def test_what_is_short_in_a_file_and_long_in_memory(tmp_path, form, state):
    weight_files.assert_refused(
        tmp_path, weight_files.WRITERS[form](state, {}), "truncated or damaged"
    )


def test_names_of_storages_that_are_none(tmp_path):
    contents = by_hand.legacy(by_hand.pickled(b"}"), {})
    assert contents.endswith(by_hand.pickled(b"](e"))
    contents = contents.removesuffix(by_hand.pickled(b"](e"))
    contents += by_hand.pickled(b"](" + _doubled(b"e"))
    weight_files.assert_refused(tmp_path, contents, "a storage without a name")


def test_a_list_of_pairs_serves_one_dictionary(tmp_path):
    pairs = b"](](" + by_hand.text("a") + b"K\x01eeq\x00"
    made = b"ccollections\nOrderedDict\n"
    state = by_hand.pickled(made + pairs + b"\x85R" + made + b"h\x00\x85R\x86")
    first, second = unpickle.read(io.BytesIO(state))
    assert (first, second) == ({"a": 1}, {})


def test_a_view_of_a_storage(tmp_path):
    view = b"(" + by_hand.text("1") + by_hand.number(0) + by_hand.number(6) + b"t"
    state = by_hand.state_dict({"a": by_hand.tensor("0", "float32", (2, 3), view=(view,))})
    weight_files.assert_refused(
        tmp_path, by_hand.legacy(state, {}), "its pickle wants a view of a storage"
    )
