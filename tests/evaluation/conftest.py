"""A data set that is not the one that runs were trained on."""

import json
import shutil

import pytest


@pytest.fixture
def other_data(data_dir, tmp_path):
    """The folder of a data set of the same name, of which one shard is another."""
    other = tmp_path / "data"
    shutil.copytree(data_dir, other)
    (manifest,) = other.glob("posed_people/tiny/*/manifest.json")
    changed = json.loads(manifest.read_text())
    changed["splits"]["test"]["shards"][0]["sha256"] = "0" * 64
    manifest.write_text(json.dumps(changed))
    return other
