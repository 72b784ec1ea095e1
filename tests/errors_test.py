"""Errors of the operating system as one line that names the file."""

import pytest

from volsynth.errors import UserError, os_errors_explained


class OwnError(UserError):
    pass


def test_an_error_of_the_system_names_what_failed_and_where(tmp_path):
    path = tmp_path / "none" / "x.txt"
    with (
        pytest.raises(UserError, match=r"^cannot read .*x\.txt: No such file or directory\.$"),
        os_errors_explained("read", path),
    ):
        path.read_text()
    with (
        pytest.raises(OwnError, match=r"^cannot write results to x: full\.$"),
        os_errors_explained("write results to", "x", OwnError),
    ):
        raise OSError("full")
    with (
        pytest.raises(UserError, match=r"^.*x\.txt cannot be read: No such file or directory\.$"),
        os_errors_explained("read", path, path_first=True),
    ):
        path.read_text()


def test_other_errors_pass():
    with pytest.raises(KeyError), os_errors_explained("read", "x"):
        raise KeyError("x")
    with pytest.raises(UserError, match=r"^wrong$"), os_errors_explained("read", "x"):
        raise UserError("wrong")
    with os_errors_explained("read", "x"):
        pass
