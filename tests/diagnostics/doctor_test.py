"""`volsynth doctor`: what it finds, what it calls missing, and that it survives odd folders."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy

from volsynth.diagnostics import doctor, machine, packages, prepared_files
from volsynth.errors import UserError
from volsynth.pretrained import weights

ROOT = Path(__file__).parents[2]
MANIFEST = {
    "format": 1,
    "name": "posed_people",
    "config": "64",
    "version": "1.0.0",
    "image_size": 64,
    "splits": {"train": {"records": 1234, "shards": []}, "test": {"records": 56}},
}


def _prepare(folder: Path, content: object = MANIFEST) -> Path:
    folder.mkdir(parents=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "manifest.json").write_text(text)
    return folder


def test_a_report_is_json_with_every_section(tmp_path):
    report = doctor.report(str(tmp_path))
    assert json.loads(json.dumps(report)) == report
    assert set(report) == {
        *("ready", "python", "packages", "jax", "machine", "data", "weights", "missing"),
    }
    assert report["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert report["python"]["status"] == "ok"
    assert report["weights"] == {
        "found": [],
        "needed": [],
        "note": "none are needed: the built-in features are used",
    }


def test_versions_come_from_metadata_and_old_or_missing_ones_are_named(tmp_path, monkeypatch):
    versions = {name: "99.1" for name in packages.needed_packages()}
    del versions["chex"]
    versions |= {"jax": "0.9.3", "flax": "0.12", "numpy": "2.0.0rc1", "pillow": "99"}

    def version(name):
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    report = doctor.report(str(tmp_path))
    status = {entry["name"]: entry["status"] for entry in report["packages"]}
    assert {name: s for name, s in status.items() if s != "ok"} == {"jax": "old", "chex": "missing"}
    missing = {entry["what"]: entry["get"] for entry in report["missing"]}
    assert missing["package chex (missing)"] == "pip install 'chex>=0.1.90'"
    assert missing["package jax (old)"] == "pip install 'jax>=0.10'"
    assert not report["ready"]


def test_devices_are_those_of_jax(tmp_path):
    found = doctor.report(str(tmp_path))["jax"]
    assert found["error"] is None
    assert found["platform"] == jax.default_backend()
    assert [entry["id"] for entry in found["devices"]] == [device.id for device in jax.devices()]


def test_a_device_that_does_not_start_is_reported(tmp_path, monkeypatch, capsys):
    def devices():
        raise RuntimeError("Unable to initialize backend 'tpu'")

    monkeypatch.setattr(jax, "devices", devices)
    _prepare(tmp_path / "a")
    report = doctor.report(str(tmp_path))
    assert report["jax"]["error"] == "RuntimeError: Unable to initialize backend 'tpu'"
    assert "Unable to initialize backend 'tpu'" in report["missing"][0]["what"]
    assert report["missing"][0]["get"] == "JAX_PLATFORMS=cpu volsynth doctor"
    doctor.render(report)
    assert "RuntimeError" in capsys.readouterr().out


def test_a_gpu_that_jax_cannot_see_is_missing_a_package(tmp_path, monkeypatch):
    _prepare(tmp_path / "a")
    monkeypatch.setattr(
        machine, "jax_report", lambda: {"platform": "cpu", "devices": [], "error": None}
    )
    for paths, commands in ((["/dev/nvidia0"], ["pip install 'jax[cuda13]'"]), ([], [])):
        monkeypatch.setattr(machine.glob, "glob", lambda pattern, paths=paths: paths)
        assert [entry["get"] for entry in doctor.report(str(tmp_path))["missing"]] == commands


def test_machine_figures_are_plausible(tmp_path):
    report = doctor.report(str(tmp_path / "not" / "there yet"))
    assert 1 <= report["machine"]["cpu_cores"] <= os.cpu_count()
    assert report["machine"]["memory_bytes"] > 2**28
    assert report["data"]["free_bytes"] > 0
    assert report["data"]["exists"] is False


def test_without_data_the_command_that_renders_some_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = [entry["get"] for entry in doctor.report("data")["missing"]]
    assert commands == ["python -m data_prep.posed_people --config 64 --data-dir data"]
    quoted = doctor.report("my data")["missing"][0]["get"]
    assert quoted.endswith("--data-dir 'my data'")


def test_prepared_data_sets_are_found_with_their_counts(tmp_path):
    first = _prepare(tmp_path / "posed_people" / "64" / "1.0.0")
    _prepare(tmp_path / "other" / "1.0.0", MANIFEST | {"name": "other", "image_size": 256})
    _prepare(first / "inner")  # a version folder is not searched further
    _prepare(tmp_path / ".incomplete" / "64")
    _prepare(tmp_path / "1" / "2" / "3" / "4" / "5")
    report = doctor.report(str(tmp_path))
    assert report["data"]["sets"] == [
        {
            "folder": str(tmp_path / "other" / "1.0.0"),
            **{"name": "other", "config": "64", "version": "1.0.0", "image_size": 256},
            "records": {"train": 1234, "test": 56},
            "problem": None,
        },
        {
            "folder": str(first),
            **{"name": "posed_people", "config": "64", "version": "1.0.0", "image_size": 64},
            "records": {"train": 1234, "test": 56},
            "problem": None,
        },
    ]
    assert report["ready"] is True
    assert report["missing"] == []


def test_the_data_folder_may_itself_be_a_version_folder(tmp_path):
    folder = _prepare(tmp_path / "1.0.0")
    assert [entry["folder"] for entry in doctor.report(str(folder))["data"]["sets"]] == [
        str(folder)
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "manifest.json is not JSON"),
        ("[" * 200_000, "recursion|not JSON"),
        ([1], "not of format 1"),
        (MANIFEST | {"format": 2}, "not of format 1"),
        (MANIFEST | {"config": 64}, "'config' is not plain text"),
        (MANIFEST | {"name": "x\x1b[2J"}, "'name' is not plain text"),
        (MANIFEST | {"splits": {}}, "'splits' is missing or empty"),
        (MANIFEST | {"splits": {"train": 3}}, "split 'train' has no valid count"),
        (MANIFEST | {"splits": {"train": {"records": -1}}}, "split 'train' has no valid count"),
        (MANIFEST | {"splits": {"a\nb": {"records": 1}}}, r"split 'a\\nb' has no valid count"),
        (MANIFEST | {"image_size": True}, "'image_size' is not a number of pixels"),
    ],
)
def test_a_broken_manifest_is_a_problem_and_not_a_data_set(tmp_path, content, problem):
    _prepare(tmp_path / "broken", content)
    report = doctor.report(str(tmp_path))
    (entry,) = report["data"]["sets"]
    assert re.search(problem, entry["problem"])
    assert [item["what"] for item in report["missing"]] == ["a prepared data set"]


def test_a_manifest_of_absurd_size_is_not_read(tmp_path, monkeypatch):
    _prepare(tmp_path / "huge")
    monkeypatch.setattr(prepared_files, "_MANIFEST_BYTES", 100)
    (entry,) = doctor.report(str(tmp_path))["data"]["sets"]
    assert re.search(r"has \d+ bytes, more than 100", entry["problem"])


def test_a_pipe_in_the_place_of_a_manifest_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "manifest.json")
    (entry,) = doctor.report(str(tmp_path))["data"]["sets"]
    assert entry["problem"] == "manifest.json is not a regular file"


def test_weights_are_found_with_their_network(tmp_path, capsys):
    array = {"a": np.zeros(2, np.float32)}
    weights.save(tmp_path / "a.safetensors", array, "vgg19")
    (tmp_path / "b.safetensors").write_bytes(safetensors.numpy.save(array))
    (tmp_path / "c.safetensors").write_bytes(safetensors.numpy.save(array)[:-1])
    (tmp_path / "d.txt").touch()
    os.mkfifo(tmp_path / "pipe.safetensors")
    report = doctor.report(str(tmp_path / "data"), str(tmp_path))
    found = report["weights"]["found"]
    assert [entry["file"] for entry in found] == [str(tmp_path / f"{x}.safetensors") for x in "abc"]
    assert [entry["network"] for entry in found] == ["vgg19", None, None]
    assert found[0]["problem"] is None
    assert found[1]["problem"] == "names no network"
    assert "truncated or damaged" in found[2]["problem"]
    for entry in found:
        entry["file"] = os.path.basename(entry["file"])
    doctor.render(report)
    shown = capsys.readouterr().out
    assert "a.safetensors: vgg19" in shown
    assert "b.safetensors: names no network" in shown


def test_a_file_in_the_place_of_the_data_folder_is_refused(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(UserError, match=r"doctor: .*file' is a file; name the folder"):
        doctor.report(str(path))


def test_render_shows_what_matters_and_prints_foreign_names_as_they_are(tmp_path, capsys):
    _prepare(tmp_path / "posed_people" / "64" / "1.0.0")
    _prepare(tmp_path / "[red]odd\x1b[2J", "{")
    report = doctor.report(str(tmp_path))
    report["data"]["folder"] = "/data"
    for entry in report["data"]["sets"]:
        entry["folder"] = entry["folder"].removeprefix(str(tmp_path))
    doctor.render(report)
    shown = capsys.readouterr().out
    assert "posed_people/64/1.0.0, 64 px: train 1,234, test 56" in shown
    assert "[red]odd\N{REPLACEMENT CHARACTER}[2J" in shown
    assert "\x1b[2J" not in shown
    assert "none are needed: the built-in features are used" in shown
    assert "Nothing is missing." in shown
    assert all(name in shown for name in packages.needed_packages())


def test_render_never_breaks_the_command_to_copy(tmp_path, capsys):
    doctor.render(doctor.report(str(tmp_path / ("long name " * 20))))
    shown = capsys.readouterr().out
    assert "Missing: a prepared data set" in shown
    assert f"  {doctor.GET_DATA} '{tmp_path / ('long name ' * 20)}'\n" in shown


def test_importing_it_imports_neither_jax_nor_tensorflow():
    code = (
        "import sys, volsynth.diagnostics.doctor; "
        "print([name for name in ('jax', 'tensorflow', 'rich', 'numpy') if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_small_pages_are_pointed_out_where_they_cost_time(tmp_path, monkeypatch):
    report = doctor.report(str(tmp_path))
    for pages, shown in ((False, True), (True, False), (None, False)):
        report["machine"]["huge_pages"] = pages
        hints = [row for row in doctor._rows(report) if row[0] == "Huge pages"]
        assert bool(hints) == shown
        assert all(machine.HUGE_PAGES in row[1] for row in hints)
