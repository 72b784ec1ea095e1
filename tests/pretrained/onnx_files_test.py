"""ONNX files of users: what they declare, and what is refused before anything is run."""

import hashlib
import os
import re
import sys

import numpy as np
import onnx
import pytest
import tiny_detectors as tiny
from onnx import helper

from volsynth.errors import UserError
from volsynth.pretrained import onnx_files


@pytest.fixture
def file(tmp_path):
    return tiny.save(tmp_path / "tiny.onnx", tiny.ssd())


def _refused(path, message):
    with pytest.raises(UserError, match=message) as caught:
        onnx_files.load(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"model {str(path)!r}: ")


# --- what is loaded ------------------------------------------------------------------------------


def test_a_model_has_the_ports_of_its_file_and_runs(file):
    model = onnx_files.load(file)
    assert model.inputs == (onnx_files.Port("picture", np.float32, (1, 3, 4, 4)),)
    assert model.outputs == (
        onnx_files.Port("boxes", np.float32, (1, 3, 4)),
        onnx_files.Port("labels", np.int64, (1, 3)),
        onnx_files.Port("scores", np.float32, (1, 3)),
    )
    assert model.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    picture = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)
    scores, labels = model.run({"picture": picture}, ["scores", "labels"])
    np.testing.assert_allclose(scores, [[7.5, 23.5, 39.5]])
    np.testing.assert_array_equal(labels, [[15, 1, 15]])


def test_axes_without_a_length_and_ports_that_are_no_arrays(tmp_path):
    made = tiny.model(
        [helper.make_node("SequenceConstruct", ["a"], ["b"])],
        [("a", tiny.FLOAT, ["batch", None, 4])],
        [],
    )
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(tiny.FLOAT, None))
    made.graph.output.append(helper.make_value_info("b", kind))
    model = onnx_files.load(tiny.save(tmp_path / "m.onnx", made))
    assert model.inputs[0].shape == (None, None, 4)
    assert model.outputs[0].dtype is None


def test_what_cannot_be_run_is_one_line(file):
    model = onnx_files.load(file)
    with pytest.raises(UserError, match="ONNX Runtime cannot run it") as caught:
        model.run({"picture": np.zeros((1, 3, 4, 5), np.float32)}, ["scores"])
    assert "\n" not in str(caught.value)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_extra(file, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = f"need {package}, which is not installed: pip install 'volsynth[detect]'"
    _refused(file, re.escape(message))


def test_no_file_no_regular_file_and_too_large_a_one(tmp_path, file, monkeypatch):
    _refused(tmp_path / "none.onnx", "no such file")
    _refused(tmp_path, "is not a regular file")
    os.mkfifo(tmp_path / "pipe")
    _refused(tmp_path / "pipe", "is not a regular file")
    monkeypatch.setattr(onnx_files, "MAX_BYTES", 100)
    _refused(file, r"\d+ bytes; at most 100 are read")


def test_a_file_that_cannot_be_read(file, monkeypatch):
    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(onnx_files.pathlib.Path, "open", forbidden)
    _refused(file, "cannot be read .*Permission denied")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "is no ONNX model .*no graph"),
        (b"\x08\x07", "is no ONNX model .*no graph"),
        (b"\x00\x00", "is no ONNX model.*a damaged one"),
        (b"\x3b", "is no ONNX model.*a damaged one"),
        (b"\x3a\x05\x0a", "is no ONNX model.*a damaged one"),
        (b"\x08", "is no ONNX model.*a damaged one"),
        (b"\x08" + b"\xff" * 10, "is no ONNX model.*a damaged one"),
        (b"\xba\x80\x80\x80\x10\x00", "is no ONNX model.*a damaged one"),
        (b"PK\x03\x04 not a model at all", "is no ONNX model"),
        # A graph, and nothing in it.
        (b"\x3a\x00", r"ONNX Runtime .* cannot load it \(….*Missing opset"),
    ],
)
def test_what_is_no_model(tmp_path, contents, message):
    path = tmp_path / "m.onnx"
    path.write_bytes(contents)
    _refused(path, message)


@pytest.mark.parametrize("name", [b"scores", b"ReduceMean"])
def test_a_model_with_names_that_are_no_text_is_refused_without_a_word(file, capfd, name):
    file.write_bytes(file.read_bytes().replace(name, b"\xec" + name[1:]))
    # What Python makes of the bytes of the message depends on where they lie.
    _refused(file, r"cannot load it \(.+\)")
    assert capfd.readouterr() == ("", "")


def test_a_truncated_model_wherever_it_ends(file):
    whole = file.read_bytes()
    for length in range(0, len(whole) - 1, 37):
        file.write_bytes(whole[:length])
        _refused(file, "is no ONNX model|cannot load it")


def _external(tensor, location):
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    tensor.ClearField("raw_data")


def _in_graph(made, tensor):
    made.graph.initializer.append(tensor)


def _in_attribute(made, tensor):
    made.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def _in_attributes(made, tensor):
    made.graph.node.append(helper.make_node("Other", [], ["c"], values=[tensor]))


def _in_branch(made, tensor):
    inner = helper.make_graph([], "inner", [], [], [tensor])
    deeper = helper.make_graph([helper.make_node("If", [], ["d"], then_branch=inner)], "g", [], [])
    made.graph.node.append(helper.make_node("Other", [], ["c"], bodies=[deeper]))


def _in_sparse(made, tensor):
    made.graph.sparse_initializer.add().values.CopyFrom(tensor)


def _in_sparse_attribute(made, tensor):
    sparse = onnx.SparseTensorProto()
    sparse.indices.CopyFrom(tensor)
    made.graph.node.append(helper.make_node("Constant", [], ["c"], sparse_value=sparse))


def _in_function(made, tensor):
    node = helper.make_node("Constant", [], ["c"], value=tensor)
    made.functions.append(helper.make_function("own", "f", [], ["c"], [node], []))


def _in_function_default(made, tensor):
    function = helper.make_function("own", "f", [], [], [], [])
    function.attribute_proto.append(helper.make_attribute("a", tensor))
    made.functions.append(function)


def _in_training(made, tensor):
    made.training_info.add().algorithm.initializer.append(tensor)


@pytest.mark.parametrize(
    "place",
    [
        *(_in_graph, _in_attribute, _in_attributes, _in_branch, _in_sparse),
        *(_in_sparse_attribute, _in_function, _in_function_default, _in_training),
    ],
)
@pytest.mark.parametrize("location", ["weights.bin", "../../etc/passwd", "*/_ORT_MEM_ADDR_/*"])
def test_data_outside_of_the_file(tmp_path, place, location, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 16)
    tensor = onnx.numpy_helper.from_array(np.zeros(4, np.float32), "t")
    made = tiny.ssd()
    place(made, tensor)
    onnx_files._parse("m", made.SerializeToString())
    made = tiny.ssd()
    _external(tensor, location)
    place(made, tensor)
    path = tiny.save(tmp_path / "m.onnx", made)
    _refused(path, "has data in other files; save it as a single file")


def test_either_mark_of_data_outside_is_enough(tmp_path):
    for mark in ("location", "place"):
        made = tiny.ssd()
        tensor = made.graph.initializer[0]
        if mark == "location":
            tensor.data_location = onnx.TensorProto.EXTERNAL
        else:
            tensor.external_data.add().key = "location"
        _refused(tiny.save(tmp_path / "m.onnx", made), "has data in other files")
    made.graph.initializer[0].ClearField("external_data")
    made.graph.initializer[0].data_location = onnx.TensorProto.DEFAULT
    assert onnx_files.load(tiny.save(tmp_path / "m.onnx", made))


def test_a_second_graph_in_the_file_is_looked_through(tmp_path):
    """Messages of one field that stand twice become one when they are read."""
    tensor = onnx.numpy_helper.from_array(np.zeros(4, np.float32), "t")
    _external(tensor, "weights.bin")
    second = onnx.ModelProto()
    second.graph.initializer.append(tensor)
    path = tmp_path / "m.onnx"
    path.write_bytes(tiny.ssd().SerializeToString() + second.SerializeToString())
    _refused(path, "has data in other files")


def test_fields_that_are_unknown_do_not_reach_onnx_runtime(tmp_path):
    """A field that this version of onnx does not know could hold data that nobody looked at."""
    contents = tiny.ssd().SerializeToString()
    unknown = contents + b"\xfa\x7f\x03abc"
    assert onnx.ModelProto.FromString(unknown).SerializeToString() != contents
    assert onnx_files._parse("m", unknown).SerializeToString() == contents
