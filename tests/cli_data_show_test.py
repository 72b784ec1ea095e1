"""`volsynth data show`: sheets of records and of training pairs."""

from command_line import SMOKE, fails

from volsynth import cli


def _show(data_dir, out, *rest):
    return (
        *("data", "show", "--data-dir", str(data_dir), "--config-name", "tiny"),
        *("--split", "test", "--out", str(out), *rest),
    )


def test_a_contact_sheet_says_how_many_it_shows(capsys, data_dir, tmp_path):
    out = tmp_path / "sheet.png"
    assert cli.main(_show(data_dir, out, "--count", "5")) == 0
    assert out.stat().st_size > 0
    assert capsys.readouterr().out.startswith(f"{out}: 5 records of ")
    assert cli.main(_show(data_dir, out, "--count", "500")) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 16 records of ")


def test_a_sheet_of_training_pairs(capsys, data_dir, tmp_path):
    out = tmp_path / "sheet.png"
    train = ("--split", "train", "--count", "3")
    assert cli.main(_show(data_dir, out, *train, "--config", SMOKE)) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 3 training pairs of ")
    changed = out.read_bytes()
    override = ("--config.data.augment.hue=0.5",)
    assert cli.main(_show(data_dir, out, *train, "--config", SMOKE, *override)) == 0
    assert out.read_bytes() != changed
    capsys.readouterr()
    wrong = ("--config.data.augment.hue=0.6",)
    message = "config.data.augment.hue must lie in [0, 0.5], 0 for none, got 0.6."
    fails(capsys, message, *_show(data_dir, out, "--config", SMOKE, *wrong))
    fails(capsys, "hue=0.5: give --config, too.", *_show(data_dir, out, *override))


def test_the_data_set_on_a_sheet_is_the_configs_or_64(capsys, data_dir, tmp_path):
    show = ("data", "show", "--data-dir", str(data_dir), "--out", str(tmp_path / "sheet.png"))
    assert cli.main([*show, "--config", SMOKE, "--count", "1"]) == 0
    assert "/posed_people/tiny/" in capsys.readouterr().out
    fails(capsys, "no prepared data set in", *show)


def test_a_contact_sheet_that_cannot_be(capsys, data_dir, tmp_path):
    out = tmp_path / "sheet.png"
    fails(capsys, "--count must be at least 1, got 0.", *_show(data_dir, out, "--count", "0"))
    fails(capsys, "must end in .png", *_show(data_dir, tmp_path / "sheet.jpg", "--count", "1"))
    fails(capsys, "no split 'tets'", *_show(data_dir, out, "--split", "tets"))
    fails(capsys, "no prepared data set in", *_show(tmp_path, out))
    assert not out.exists()
