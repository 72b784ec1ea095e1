"""The prepared data set: files, manifest, index, errors."""

import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from data_prep.posed_people import __main__ as command
from data_prep.posed_people import build, plan
from volsynth.data import schema

QUIET = Console(file=io.StringIO())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    report = build(root, "tiny", processes=1, console=QUIET)
    return pathlib.Path(report.folder)


def _decode(raw):
    import tensorflow as tf

    features, record = tf.train.Example.FromString(raw).features.feature, {}
    for name in features:
        field, value = schema.FIELDS[name], features[name]
        if field.kind == "image":
            image = np.asarray(Image.open(io.BytesIO(value.bytes_list.value[0])))
            record[name] = image.reshape(*image.shape[:2], -1).astype(field.dtype)
        elif field.kind == "text":
            record[name] = value.bytes_list.value[0].decode()
        elif field.kind == "integer":
            record[name] = np.int64(value.int64_list.value[0])
        else:
            numbers = value.int64_list.value or value.float_list.value
            record[name] = np.array(numbers, field.dtype).reshape(field.shape)
    return record


def _read(folder, split):
    from array_record.python import array_record_module

    for shard in json.loads((folder / "manifest.json").read_text())["splits"][split]["shards"]:
        yield from map(
            _decode, array_record_module.ArrayRecordReader(str(folder / shard["file"])).read_all()
        )


def test_every_written_record_is_valid(prepared):
    counts = {}
    for split in plan.FIRST_PERSON:
        for record in _read(prepared, split):
            schema.validate(record)
            assert record["image"].shape == (32, 32, 3)
            counts[split] = counts.get(split, 0) + 1
    assert counts == {"train": 48, "validation": 16, "test": 16}


def test_what_is_written_is_what_is_rendered(prepared):
    from data_prep.posed_people.rendering import records

    record = next(_read(prepared, "test"))
    group = plan.Group(int(record["person"][1:]), plan.OUTFITS.index(record["outfit"]))
    camera = [f"c{i}" for i in range(4)].index(record["camera"])
    shot = plan.Shot(record["action"], int(record["frame"]), camera)
    again = records.record(records.dressed(group), group, shot, 32)
    for name, value in again.items():
        np.testing.assert_array_equal(record[name], value, err_msg=name)


def test_manifest_counts_and_hashes(prepared):
    manifest = json.loads((prepared / "manifest.json").read_text())
    assert manifest["format"] == 1
    assert (manifest["name"], manifest["config"], manifest["version"]) == (
        "posed_people",
        "tiny",
        "1.0.0",
    )
    assert manifest["image_size"] == 32
    for split, entry in manifest["splits"].items():
        assert len(entry["shards"]) == plan.SIZES["tiny"].shards > 1
        assert (
            entry["records"]
            == sum(s["records"] for s in entry["shards"])
            == len(list(_read(prepared, split)))
        )
        for item in [*entry["shards"], entry["index"]]:
            digest = hashlib.sha256((prepared / item["file"]).read_bytes()).hexdigest()
            assert digest == item["sha256"]


def test_index_describes_the_records_in_order(prepared):
    for split in plan.FIRST_PERSON:
        with np.load(prepared / f"index-{split}.npz", allow_pickle=False) as index:
            for name in ("person", "outfit", "action", "camera"):
                assert index[name].dtype == np.int32
            assert index["frame"].dtype == np.int64
            for i, record in enumerate(_read(prepared, split)):
                assert index["person_names"][index["person"][i]] == record["person"]
                outfit = f"{record['person']}/{record['outfit']}"
                assert index["outfit_names"][index["outfit"][i]] == outfit
                assert index["action_names"][index["action"][i]] == record["action"]
                assert index["camera_names"][index["camera"][i]] == record["camera"]
                assert index["frame"][i] == record["frame"]


def test_splits_share_no_person(prepared):
    people = {s: {r["person"] for r in _read(prepared, s)} for s in plan.FIRST_PERSON}
    assert sum(map(len, people.values())) == len(set.union(*people.values())) == 10


@pytest.mark.parametrize("size", plan.SIZES.values(), ids=plan.SIZES)
def test_splits_of_all_sizes_share_no_person_and_keys_are_unique(size):
    people = [{g.person for g in plan.groups(size, split)} for split in plan.FIRST_PERSON]
    assert not people[0] & people[1] | people[0] & people[2] | people[1] & people[2]
    keys = [
        plan.key(g, i)
        for s in plan.FIRST_PERSON
        for g in plan.groups(size, s)
        for i in range(size.images)
    ]
    assert len(keys) == len(set(keys))


def test_shots_of_a_group_differ_and_use_all_cameras():
    shots = plan.shots(plan.Group(5, 0), 8, 4, 0)
    assert len({s.action for s in shots}) == 8
    assert {s.camera for s in shots} == {0, 1, 2, 3}
    assert shots[:4] == plan.shots(plan.Group(5, 0), 4, 4, 0)


@pytest.mark.slow
def test_two_processes_of_another_python_write_the_same_bytes(prepared, tmp_path):
    root = pathlib.Path(command.__file__).parents[2]
    # Another interpreter, because hashing, and with it the order of maps, differs between them.
    subprocess.run(
        [
            sys.executable,
            "-m",
            "data_prep.posed_people",
            "--config=tiny",
            "--processes=2",
            f"--data-dir={tmp_path}",
        ],
        check=True,
        capture_output=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    other = tmp_path / prepared.relative_to(prepared.parents[2])
    names = sorted(p.name for p in prepared.iterdir())
    assert sorted(p.name for p in other.iterdir()) == names
    for name in names:
        if "array_record" in name or name.startswith(("index", "manifest")):
            assert (other / name).read_bytes() == (prepared / name).read_bytes(), name


def test_a_complete_data_set_is_left_alone(prepared):
    before = {p: p.stat().st_mtime_ns for p in prepared.iterdir()}
    console = Console(file=io.StringIO(), width=300)
    report = build(prepared.parents[2], "tiny", console=console)
    assert report.images == 0
    assert "is complete" in console.file.getvalue()
    assert {p: p.stat().st_mtime_ns for p in prepared.iterdir()} == before


def test_an_interrupted_build_starts_over(tmp_path, monkeypatch, prepared):
    from data_prep.posed_people import posed_people_dataset_builder as module

    left = tmp_path / "posed_people" / "tiny" / "incomplete.ABC_1.0.0"
    left.mkdir(parents=True)
    (left / "posed_people-train.array_record-00000-of-00001").write_bytes(b"half")

    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module.records, "render_split", stop)
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path, "tiny", processes=1, console=QUIET)
    folder = pathlib.Path(build(tmp_path, "tiny", processes=1, console=QUIET).folder)
    assert (folder / "manifest.json").read_bytes() == (prepared / "manifest.json").read_bytes()
    assert [p.name for p in folder.parent.iterdir() if "incomplete" in p.name] == []


def test_a_lost_manifest_is_written_again(tmp_path, prepared):
    folder = tmp_path / prepared.relative_to(prepared.parents[2])
    shutil.copytree(prepared, folder)
    manifest = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").unlink()
    build(tmp_path, "tiny", processes=1, console=QUIET)
    assert (folder / "manifest.json").read_bytes() == manifest


def test_workers_load_no_tensorflow():
    module = "data_prep.posed_people.rendering.records"
    code = f"import sys, {module}; print('tensorflow' in sys.modules)"
    root = pathlib.Path(command.__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=env)
    assert shown.stdout.decode().strip() == "False"


def test_unknown_config_names_the_nearest(tmp_path):
    with pytest.raises(
        schema.UserError, match=r"no config 'tinny'; did you mean 'tiny'\? Allowed: 128"
    ):
        build(tmp_path, "tinny")


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        schema.UserError, match=r"Data cannot be kept in .*file is no folder\. Give"
    ):
        build(tmp_path / "file" / "data", "tiny")


def test_two_builds_at_once_are_refused(tmp_path):
    import fcntl

    folder = tmp_path / "posed_people" / "tiny"
    folder.mkdir(parents=True)
    with open(folder / ".1.0.0.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(schema.UserError, match="is being prepared by another process"):
            build(tmp_path, "tiny", processes=1, console=QUIET)


def test_the_command_prints_errors_in_one_line(capsys):
    assert command.main(["--config", "65", "--data-dir", "/nowhere"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: posed_people has no config '65'; did you mean '64'?")
    assert error.count("\n") == 1


def test_bench_prints_json(capsys):
    assert command.main(["--config", "tiny", "--bench", "0.1"]) == 0
    assert json.loads(capsys.readouterr().out)["images_per_second_per_core"] > 0


def test_tfds_finds_the_builder_and_defaults_to_array_record(tmp_path):
    import tensorflow_datasets as tfds

    from data_prep.posed_people.posed_people_dataset_builder import Builder

    builder = Builder(config="64", data_dir=tmp_path)
    assert builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD
    required = {name for name, field in schema.FIELDS.items() if field.required}
    assert set(builder.info.features) == required | {"parts", "depth"}
    assert builder.info.features["depth"].dtype == np.uint16


def test_the_tfds_command_line_finds_the_builder_by_its_folder(tmp_path):
    # Its loader rather than `tfds` itself, which needs packages that nobody else here needs.
    from tensorflow_datasets.scripts.cli import build as tfds_build

    folder = pathlib.Path(command.__file__).parent
    builder, kwargs = tfds_build._get_builder_cls_and_kwargs(str(folder), has_imports=False)
    assert builder.name == "posed_people"
    made = builder(config="tiny", data_dir=tmp_path, **kwargs)
    assert made.info.file_format.value == "array_record"
    assert made.num_shards == 2
