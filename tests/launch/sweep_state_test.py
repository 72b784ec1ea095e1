"""The state of a run, read from its workdir."""

import pytest

from launch.sweeps import state
from volsynth.errors import UserError


def test_half_a_checkpoint_and_half_a_line_do_not_count(tmp_path):
    (tmp_path / "run.json").write_text('{"config": {"train": {"steps": 9}}, "data": ""}')
    for name in ("4", "9.orbax-checkpoint-tmp-1"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "metrics.jsonl").write_text('{"step": 5}\n{"step": ')
    assert state.read(tmp_path, 1) == {
        "state": "stopped", "step": 5, "steps": 9, "reason": None
    }  # fmt: skip


def test_a_workdir_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="as workdir: Not a directory"), state.hold(
        tmp_path / "file" / "run"
    ):  # fmt: skip
        pass
