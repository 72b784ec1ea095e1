"""Lines that a run leaves, whole, damaged, twice, and those of the code that wrote them."""

import json
import subprocess

import pytest

from volsynth.train import run_log

DAMAGED = [
    '{"step": 4, "g/l',
    "null",
    "4",
    "[[4]]",
    '{"g/loss": 1}',
    '{"step": "4"}',
    '{"step": true}',
    '{"step": -1}',
    '{"step": 4.0}',
    '{"step": 1e400}',
    '{"step": 99999999999999999999}',
    '{"step": 4, "g/loss": "1"}',
    '{"step": 4, "g/loss": [1]}',
    '{"step": 4, "g/loss": false}',
    '{"step": 4, "g/loss": ' + "9" * 400 + "}",
    '{"step": 4, "g/loss": ' + "9" * 5000 + "}",
    "[" * 100_000,
    "\0\0",
    "\udcff\udcfe",
]


def _write(folder, *lines):
    text = "\n".join(lines) + "\n"
    (folder / "metrics.jsonl").write_bytes(text.encode(errors="surrogateescape"))


@pytest.mark.parametrize("damaged", DAMAGED, ids=lambda text: text[:30])
def test_a_damaged_line_is_left_out_and_counted(tmp_path, damaged):
    _write(tmp_path, '{"step": 3, "g/loss": 1}', damaged, "", '{"step": 5, "g/loss": 2}')
    rows, count = run_log.read_metrics(tmp_path)
    assert rows == [{"step": 3, "g/loss": 1.0}, {"step": 5, "g/loss": 2.0}]
    assert count == 1


def test_rows_are_in_order_and_the_later_of_two_counts(tmp_path):
    lines = [{"step": s, "g/loss": i} for i, s in enumerate([10, 30, 20, 30])]
    _write(tmp_path, *map(json.dumps, lines))
    rows, damaged = run_log.read_metrics(tmp_path)
    assert [(row["step"], row["g/loss"]) for row in rows] == [(10, 0), (20, 2), (30, 3)]
    assert damaged == 0


@pytest.mark.parametrize("value", ["null", "NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_not_finite_is_none(tmp_path, value):
    _write(tmp_path, f'{{"step": 1, "g/loss": {value}, "g/l1": 0.5}}')
    assert run_log.read_metrics(tmp_path) == ([{"step": 1, "g/loss": None, "g/l1": 0.5}], 0)


def test_without_files_there_is_nothing(tmp_path):
    assert run_log.read_metrics(tmp_path) == ([], 0)
    assert run_log.read_starts(tmp_path) == []


def test_starts_come_back_and_damaged_ones_do_not(tmp_path):
    run_log.record_start(tmp_path, 0, {"device": "abacus"})
    with (tmp_path / "starts.jsonl").open("a") as file:
        file.write("{\n")
    run_log.record_start(tmp_path, 7, {"device": "abacus"})
    starts = run_log.read_starts(tmp_path)
    assert [(start["step"], start["device"]) for start in starts] == [(0, "abacus"), (7, "abacus")]
    assert starts[0]["time"] <= starts[1]["time"]


def _git(folder, *arguments):
    identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True
    )
    return done.stdout.decode().strip()


def test_the_commit_is_that_of_the_folder_and_says_if_it_was_changed(tmp_path):
    assert run_log.commit(tmp_path) is None
    _git(tmp_path, "init", "-q")
    assert run_log.commit(tmp_path) is None, "nothing was committed yet"
    (tmp_path / "file").write_text("a")
    _git(tmp_path, "add", "file")
    _git(tmp_path, "commit", "-qm", "m")
    whole = _git(tmp_path, "rev-parse", "HEAD")
    # A tag must not take its place.
    _git(tmp_path, "tag", "v1")
    found = run_log.commit(tmp_path)
    assert len(found) >= 7
    assert whole.startswith(found)
    (tmp_path / "file").write_text("b")
    assert run_log.commit(tmp_path) == found + "+"
    (tmp_path / "inner").mkdir()
    assert run_log.commit(tmp_path / "inner") is None, "an installed package inside of a repository"


def test_without_git_there_is_no_commit(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_log.commit(tmp_path) is None
