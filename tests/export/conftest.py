"""A run of the pose estimator and its exported model, which no test may change."""

import exported_runs
import pytest

from volsynth.export import write


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run of the pose estimator, whose networks compile fastest."""
    return exported_runs.write(tmp_path_factory.mktemp("run") / "run", exported_runs.POSE)


@pytest.fixture(scope="session")
def folder(run, tmp_path_factory):
    """That run, exported."""
    out = tmp_path_factory.mktemp("out") / "model"
    write.export(run, out)
    return out
