"""A build that is killed outright, as by a scheduler, goes on with the pieces that it lacks."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import small_sets

# One image a piece; every image that is opened is written down, and the third takes for ever.
SCRIPT = """
import sys, time
from data_prep.reading import pictures
from data_prep.folder.__main__ import main
pictures.PICTURES_PER_PIECE = 1
read, log, last = pictures.sources.read, open(sys.argv[1], "a"), int(sys.argv[2])

def slow(source, name):
    print(name, file=log, flush=True)
    if last == 0:
        time.sleep(600)
    globals()["last"] = last - 1
    return read(source, name)

pictures.sources.read = slow
sys.exit(main(sys.argv[3:]))
"""


def _start(log, last, root):
    arguments = ["--source", "photos", "--data-dir", "data", "--config", "64", "--processes", "1"]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(log), str(last), *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_build_that_was_killed_goes_on(tmp_path):
    small_sets.write_folder(tmp_path / "photos", persons=2, shots=2)
    log = tmp_path / "log"
    log.touch()
    process = _start(log, 2, tmp_path)
    while len(log.read_text().split()) < 3:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not list((tmp_path / "data").rglob("manifest.json"))
    assert len(list((tmp_path / "data").rglob(".pieces-*/*.npz"))) == 2

    process = _start(log, -1, tmp_path)
    said = process.communicate()[1]
    assert process.returncode == 0, said
    opened = log.read_text().split()
    # Of four, two were done; the third was begun twice.
    assert len(opened) == 5
    assert opened[2] == opened[3]
    assert len(set(opened)) == 4
    assert not list((tmp_path / "data").rglob(".pieces-*"))
    (manifest,) = (tmp_path / "data").rglob("manifest.json")
    assert sum(s["records"] for s in json.loads(manifest.read_text())["splits"].values()) == 4
    (tmp_path / "data").rename(tmp_path / "first")

    process = _start(log, -1, tmp_path)
    process.communicate()
    (whole,) = (tmp_path / "data").rglob("manifest.json")
    assert (
        whole.read_text() == (tmp_path / "first" / whole.relative_to(tmp_path / "data")).read_text()
    )
