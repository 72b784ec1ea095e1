"""`volsynth weights convert`: files, their digests, and what cannot be converted."""

import hashlib

import numpy as np
import safetensors.numpy
from command_line import fails

from volsynth import cli
from volsynth.pretrained import feature_networks
from volsynth.pretrained.blazepose import conversion, parameters


def test_weights_are_converted_and_named(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(feature_networks.LAYOUTS, "vgg19", lambda: {"a": (2, 500)})
    source, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    source.write_bytes(safetensors.numpy.save({"a": np.ones((2, 500), np.float16)}))
    assert cli.main(["weights", "convert", str(source), str(out)]) == 0
    printed, err = capsys.readouterr()
    assert err == ""
    assert printed.splitlines() == [
        f"{source}: SHA-256 {hashlib.sha256(source.read_bytes()).hexdigest()}",
        f"{out}: SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()}",
        "vgg19: 1 arrays, 1,000 values, float32",
    ]
    np.testing.assert_array_equal(safetensors.numpy.load_file(out)["a"], np.ones((2, 500)))


def test_weights_of_two_files_are_converted_and_named(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(feature_networks.LAYOUTS, "lpips-alex", lambda: {"a": (2, 5)})
    monkeypatch.setitem(feature_networks.LIN_LAYOUTS, "lpips-alex", lambda: {"b": (3,)})
    paths = source, lin, out = [tmp_path / f"{name}.safetensors" for name in ("in", "lin", "out")]
    source.write_bytes(safetensors.numpy.save({"a": np.ones((2, 5), np.float32)}))
    lin.write_bytes(safetensors.numpy.save({"b": np.zeros(3, np.float32)}))
    kind = ("--kind", "lpips-alex")
    fails(capsys, "lpips-alex needs", "weights", "convert", str(source), str(out), *kind)
    command = ["weights", "convert", str(source), str(out), *kind, "--lin", str(lin)]
    assert cli.main(command) == 0
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert capsys.readouterr().out.splitlines() == [
        *(f"{path}: SHA-256 {digest}" for path, digest in zip(paths, digests)),
        "lpips-alex: 2 arrays, 13 values, float32",
    ]


def test_weights_that_cannot_be_converted(capsys, tmp_path):
    source, out = tmp_path / "in.pth", tmp_path / "out.safetensors"
    convert = ("weights", "convert", str(source))
    fails(capsys, "no such file. For one, save torchvision's vgg19", *convert, str(out))
    source.write_text("weights")
    fails(capsys, "not a known format", *convert, str(out), "--kind", "vgg19")
    fails(capsys, "must end in .safetensors", *convert, str(tmp_path / "out.pth"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.pth"]


def test_the_kinds_of_weights_are_those_that_there_are():
    kinds = (*feature_networks.LAYOUTS, *conversion.KINDS)
    assert "{" + ",".join(kinds) + "}" in "".join(_help("weights", "convert").split())


def test_files_of_blazepose_are_converted_and_others_refused(capsys, tmp_path, monkeypatch):
    source, out = tmp_path / "in.tflite", tmp_path / "out.safetensors"
    source.write_bytes(b"TFL3")
    convert = ("weights", "convert", str(source), str(out), "--kind", "blazepose-detector")
    fails(capsys, "blazepose-detector is made from", *convert)
    fails(capsys, "no second file; leave --lin out", *convert, "--lin", "lin.pth")
    entry = {"source": {"sha256": hashlib.sha256(b"TFL3").hexdigest()}}
    monkeypatch.setattr(parameters, "manifest", lambda: {"detector": entry})
    monkeypatch.setattr(conversion, "_detector_names", lambda: ["a"])
    layer = np.ones((1, 1, 2, 3), np.float16), np.zeros(3, np.float16)
    monkeypatch.setattr(conversion, "_constants", lambda content: [layer])
    assert cli.main([*convert]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{source}: SHA-256 {entry['source']['sha256']}",
        f"{out}: SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()}",
        "blazepose-detector: 2 arrays, 9 values, float16",
    ]
    np.testing.assert_array_equal(safetensors.numpy.load_file(out)["a/kernel"], layer[0])


def _help(*command):
    parser = cli._parser()
    for name in command:
        (action,) = parser._subparsers._group_actions
        parser = action.choices[name]
    return parser.format_help()
