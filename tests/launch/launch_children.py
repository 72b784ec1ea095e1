"""Small programs that stand for a training process."""

import json
import sys

PYTHON = [sys.executable, "-S", "-u", "-c"]


def child(body: str) -> list[str]:
    """A command; `body` sees `index`, `attempt` (from 1) and `note(text)`, kept in the folder."""
    return [*PYTHON, _HEAD + body]


_HEAD = """
import os, pathlib, signal, sys, time
index = int(os.environ["VOLSYNTH_PROCESS"])
folder = pathlib.Path(os.environ["CHILD_FOLDER"])
def note(text):
    with (folder / f"notes{index}").open("a") as file:
        file.write(text + chr(10))
note("start")
attempt = (folder / f"notes{index}").read_text().count("start")
"""

TRAIN = [
    *PYTHON,
    """
import json, os, pathlib, signal, sys, time
values = dict(zip(sys.argv[1::2], sys.argv[2::2]))
workdir = pathlib.Path(values["--workdir"])
steps = int(os.environ.get("FAKE_STEPS", 6))
with open(os.environ["FAKE_LOG"], "a") as log:
    log.write(workdir.name + chr(10))
(workdir / "run.json").write_text(json.dumps({"config": {"train": {"steps": steps}}, "data": "d"}))
def reach(step):
    (workdir / "metrics.jsonl").open("a").write(json.dumps({"step": step}) + chr(10))
    (workdir / "checkpoints" / str(step)).mkdir(parents=True, exist_ok=True)
fault = os.environ.get("FAKE_FAULT", "")
if fault and fault in workdir.name:
    reach(2)
    print("some words")
    print("volsynth: error: the disk is full.")
    sys.exit(int(os.environ["FAKE_STATUS"]))
if os.environ.get("FAKE_HANG"):
    signal.signal(signal.SIGTERM, lambda *_: (reach(4), sys.exit(3)))
    (workdir / "pid").write_text(str(os.getpid()))
    reach(3)
    time.sleep(60)
reach(steps)
""",
]
"""Stands for `volsynth train`; the environment says what goes wrong."""


def steps_of(path) -> list[int]:
    """The steps logged in a workdir."""
    return [json.loads(line)["step"] for line in (path / "metrics.jsonl").read_text().splitlines()]
