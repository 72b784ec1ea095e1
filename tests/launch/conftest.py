"""Fixtures that tests of sweeps share."""

import pytest


@pytest.fixture
def write(tmp_path):
    def _write(text, name="table.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return _write
