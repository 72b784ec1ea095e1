"""Commands of `volsynth` that a test gives, and that must fail."""

from volsynth import cli

SMOKE = "configs/volumetric.py:smoke"


def fails(capsys, message, *arguments):
    """Exit status 2, nothing on standard output, one line on standard error."""
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("volsynth: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert message in err
    return err
