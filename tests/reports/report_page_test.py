"""The page about runs, read back by a parser that checks its structure, and run after run."""

import base64
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from volsynth import cli
from volsynth.errors import UserError
from volsynth.reports import report_page
from volsynth.results import result_files

NOW = 1_000_000_000.0
VOID = {"meta", "img", "source", "link", "br", "hr"}
CONFIG = {
    "system": "volumetric",
    "seed": 3,
    "precision": "float32",
    "data": {"dir": "/d", "name": "people", "config": "64"},
    "train": {"steps": 40, "batch_size": 8},
}


class _Page(html.parser.HTMLParser):
    """Tags in balance, what they hold, and the pictures."""

    def __init__(self, text):
        super().__init__()
        self.open, self.pictures, self.sources, self.cells, self.tags = [], [], [], [], []
        self.rows = {}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        if tag == "img":
            assert attributes["alt"], "a picture without words for who does not see it"
            self.pictures.append((attributes["alt"], _opened(attributes["src"])))
        if tag == "source":
            self.sources.append(_opened(attributes["srcset"]))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells = []
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "tr":
            self.rows[self.cells[0]] = self.cells[1:]

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def _opened(uri):
    start = "data:image/png;base64,"
    assert uri.startswith(start)
    with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix(start), validate=True))) as image:
        return np.asarray(image.convert("RGB"))


def _rows(steps, loss=lambda step: 1 / step, **more):
    fixed = {"g/loss_scale": 1.0, "g/skipped": 0.0, "images_per_second": 5.0, **more}
    return [{"step": s, "time": NOW - 1000 + s, "g/loss": loss(s), **fixed} for s in steps]


def _run(folder, rows=(), config=(), samples=(), scores=None):
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"config": {**CONFIG, **dict(config)}, "data": ""}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "samples").mkdir()
    for step in samples:
        colour = (step % 256, 0, 0)
        Image.new("RGB", (60, 20), colour).save(folder / "samples" / f"step_{step:07d}.png")
    if scores:
        (folder / "evaluate-test").mkdir()
        results = {"metrics": scores, "protocol": {"images": 640}, "step": 40}
        results["baselines"] = {"source_unchanged": {name: 2 * scores[name] for name in scores}}
        (folder / "evaluate-test" / "results.json").write_text(json.dumps(results))
        Image.new("RGB", (2400, 30), (0, 0, 255)).save(folder / "evaluate-test" / "gallery.png")
    return folder


def _page(*folders):
    text = report_page.page([report_page.read(folder) for folder in folders], NOW)
    return text, _Page(text)


def test_the_state_of_a_run(tmp_path):
    folder = _run(tmp_path / "a", _rows([10, 20, 30]))
    starts = [{"step": 0}, {"step": 20, "commit": "abc123+", "device": "cpu", "devices": 2}]
    (folder / "starts.jsonl").write_text("".join(json.dumps(s) + "\n" for s in starts))
    text, page = _page(folder)
    assert "<h1>volumetric: a</h1>" in text
    facts = {
        "state": "step 30 of 40, not finished",
        "last line": "2001-09-09 01:30 UTC, 16 minutes before this report",
        "seed": "3",
        "data": "people/64",
        "train.batch_size": "8",
        "precision": "float32",
        "commit": "abc123+",
        "device": "2 × cpu",
        "started": "2 times, again from step 20",
        "updates skipped": "0",
        "speed": "5 images/s lately",
    }
    assert {name: page.rows[name] for name in facts} == {k: [v] for k, v in facts.items()}
    assert "damaged lines left out" not in page.rows


def test_the_end_of_a_run_is_that_of_all_its_phases(tmp_path):
    for i, (steps, state) in enumerate(
        [
            ({"a": 10, "b": 20}, "step 30 of 30, finished"),
            (31, "step 30 of 31, not finished"),
            ("?", "step 30"),
        ]
    ):
        folder = _run(tmp_path / str(i), _rows([10, 30]), {"train": {"steps": steps}})
        assert _page(folder)[1].rows["state"] == [state]


def test_nothing_is_asked_of_any_other_address(tmp_path):
    text, page = _page(_run(tmp_path / "a", _rows([10, 20]), samples=[10], scores={"l1": 0.25}))
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'; img-src data:;" in text


def test_a_run_without_anything_yet_has_a_page(tmp_path):
    folder = _run(tmp_path / "a")
    (folder / "metrics.jsonl").unlink()
    (folder / "samples").rmdir()
    text, page = _page(folder)
    assert page.rows["state"] == ["step 0 of 40, not finished"]
    assert page.rows["last line"] == ["none yet"]
    assert page.rows["commit"] == ["not recorded"]
    assert "Nothing has been logged yet." in text
    assert "No samples yet." in text
    assert page.pictures == []


def test_rows_without_times_are_as_old_as_their_file(tmp_path):
    import os

    folder = _run(tmp_path / "a", [{"step": 10, "g/loss": 1.0}])
    os.utime(folder / "metrics.jsonl", (NOW - 200, NOW - 200))
    assert _page(folder)[1].rows["last line"] == [
        "2001-09-09 01:43 UTC, 3 minutes before this report"
    ]


def test_damaged_lines_and_missing_values_are_counted(tmp_path):
    folder = _run(tmp_path / "a", [*_rows([10, 20, 30]), {"step": 40, "g/loss": None}])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 41, "g/lo\nnull\n\0\n{"step": 39, "g/loss": "much"}')
    (folder / "starts.jsonl").write_text("{")
    page = _page(folder)[1]
    assert page.rows["damaged lines left out"] == ["4"]
    assert page.rows["lines with values that are not finite"] == ["1 of 4"]
    assert page.rows["state"] == ["step 40 of 40, finished"]


@pytest.mark.parametrize("when", [1e300, -1e300, 1e12])
def test_a_time_that_cannot_be_does_not_matter(tmp_path, when):
    rows = [{"step": 1, "time": when, "g/loss": 1.0}]
    assert "at an unknown time" in _page(_run(tmp_path / "a", rows))[1].rows["last line"][0]


def test_curves_are_drawn_for_light_and_dark_and_told_in_words(tmp_path):
    folder = _run(tmp_path / "a", _rows([10, 20], **{"g/skipped_in_a_row": 1.0}))
    text, page = _page(folder)
    ((alt, light),) = page.pictures
    (dark,) = page.sources
    assert alt == "Curves over the steps: g/loss from 0.1 to 0.05"
    assert light[0, 0].tolist() == [255, 255, 255]
    assert dark[0, 0].max() < 40
    for picture, page_colour in ((light, 255), (dark, 22)):
        # There is a curve: pixels that are blue beyond doubt.
        blue = picture[..., 2].astype(int) - picture[..., 0]
        assert (blue > 60).sum() > 100, page_colour
    constant = "g/loss_scale is 1; g/skipped is 0; images_per_second is 5."
    assert f"Not drawn, as it never changed: {constant}" in text
    assert "skipped_in_a_row" not in text


def test_the_learning_rates_are_those_of_the_runs_own_players(tmp_path):
    optim = {"painter": {"learning_rate": 2e-4, "b1": 0.5}, "judge": {"learning_rate": 1e-3}}
    page = _page(_run(tmp_path / "a", _rows([10, 20]), {"optim": optim}))[1]
    assert page.rows["optim.painter.learning_rate"] == ["0.0002"]
    assert page.rows["optim.judge.learning_rate"] == ["0.001"]
    assert "optim.painter.b1" not in page.rows


def test_the_page_is_one_document_from_its_first_line(tmp_path):
    text, page = _page(_run(tmp_path / "a", _rows([10, 20]), samples=[10], scores={"l1": 0.25}))
    assert text.startswith('<!doctype html>\n<html lang="en">\n')
    assert text.endswith("</html>\n")
    assert "{{" not in text
    assert page.tags.count("title") == 1


def test_samples_are_a_few_evenly_chosen(tmp_path):
    folder = _run(tmp_path / "a", samples=range(10, 160, 10))
    (folder / "samples" / "other.png").write_bytes(b"")
    steps = [int(re.search(r"\d+$", alt)[0]) for alt, _ in _page(folder)[1].pictures]
    assert steps == [10, 30, 50, 70, 90, 110, 130, 150]
    # Each picture is the one its words name.
    assert [int(p[0, 0, 0]) for _, p in _page(folder)[1].pictures] == steps
    assert report_page._evenly(list(range(8)), 8) == list(range(8))


def test_pictures_that_are_damaged_are_left_out_and_counted(tmp_path):
    folder = _run(tmp_path / "a", samples=[1, 2, 3])
    whole = (folder / "samples" / "step_0000001.png").read_bytes()
    (folder / "samples" / "step_0000002.png").write_bytes(whole[:50])
    (folder / "samples" / "step_0000003.png").write_bytes(b"none")
    text, page = _page(folder)
    assert len(page.pictures) == 1
    assert "2 pictures cannot be read." in text


def test_scores_with_baselines_gallery_and_protocol(tmp_path):
    folder = _run(tmp_path / "a", scores={"ssim": 0.25, "silhouette_iou": 0.5})
    text, page = _page(folder)
    assert "Scores on test, step 40" in text
    assert page.rows[""] == ["ssim", "silhouette iou"]
    assert page.rows["generated"] == ["0.250", "0.500"]
    assert page.rows["source unchanged"] == ["0.500", "1.000"]
    ((alt, gallery),) = page.pictures
    assert alt.startswith("Gallery of test")
    # Twice as wide as it may be.
    assert gallery.shape == (15, 1200, 3)
    assert gallery[5, 5].tolist() == [0, 0, 255]
    assert "&#34;images&#34;: 640" in text


def test_the_scores_of_poses_go_by_their_own_names(tmp_path):
    folder = _run(tmp_path / "a", scores={"mpjpe": 80.0})
    path = folder / "evaluate-test" / "results.json"
    more = {"label": "estimated", "columns": ["picture", "true pose"]}
    path.write_text(json.dumps({**json.loads(path.read_text()), **more}))
    _, page = _page(folder)
    assert page.rows["estimated"] == ["80.00"]
    assert "generated" not in page.rows
    assert page.pictures[0][0] == "Gallery of test: picture, true pose"


def test_text_of_a_run_is_text(tmp_path):
    # The last part is a formula that matplotlib would fail to set.
    evil = "<img src=x onerror=alert(1)>&\"'$\\nothing$"
    folder = _run(tmp_path / "<b>a", _rows([1, 2], **{f"g/{evil}": 1.0}), {"system": evil})
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 3, f"g/{evil}": 2.0}))
    _, page = _page(folder)
    assert "b" not in page.tags
    assert page.tags.count("img") == 1, "the curves"


def test_several_runs_share_curves_and_show_what_differs(tmp_path):
    a = _run(tmp_path / "a", _rows([10, 20]), samples=[10])
    b = _run(tmp_path / "b", _rows([10, 30], lambda s: 7.0), {"precision": "float16"})
    text, page = _page(a, b)
    assert page.rows["precision"] == ["float32", "float16"]
    assert page.rows["state"] == ["step 20 of 40, not finished", "step 30 of 40, not finished"]
    assert page.rows[""] == ["precision float32", "precision float16"]
    alt = page.pictures[0][0]
    assert "g/loss (precision float32) from 0.1 to 0.05" in alt
    assert "g/loss (precision float16) from 7 to 7" in alt
    assert "Samples over time: precision float32" in text
    c = _run(tmp_path / "c", (), {"data": {"name": "x" * 50, "config": "64"}})
    assert _page(a, c)[1].rows[""] == ["a", "c"]
    (tmp_path / "d").mkdir()
    other = _run(tmp_path / "d" / "a", (), {"data": {"name": "x" * 50, "config": "64"}})
    assert _page(a, other)[1].rows[""] == [str(a), str(other)]


def test_the_command_writes_the_page_and_the_curves(tmp_path, capsys):
    a = _run(tmp_path / "a", _rows([10, 20]))
    b = _run(tmp_path / "b", _rows([10, 20]), {"seed": 4})
    assert cli.main(["report", str(a)]) == 0
    assert capsys.readouterr() == (f"{a}/report.html\n", "")
    assert "volumetric: a" in (a / "report.html").read_text()
    out, png = tmp_path / "new" / "r.html", tmp_path / "other" / "r.png"
    assert cli.main(["report", str(a), str(b), "--out", str(out), "--png", str(png)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert _Page(out.read_text()).rows["seed"] == ["3", "4"]
    assert not (b / "report.html").exists()
    with Image.open(png) as picture:
        assert min(picture.size) > 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}/nowhere"], "nowhere holds no run (no run.json). Train one"),
        (["{}/a", "--out", "{}/a"], "cannot write the report to "),
        (["{}/a", "--out", "{}/a/run.json/r.html"], "cannot write the report to "),
        (["{}/a", "--png", "{}/a/run.json/r.png"], "cannot write the curves to "),
        (["{}/a", "--png", "{}/curves.nothing"], "cannot write the curves to "),
        (["{}/empty", "--png", "{}/r.png"], "no curves to draw: nothing was logged"),
        (["{}/a", "--config.seed=1"], "volsynth report takes no config"),
    ],
)
def test_what_cannot_be_reported_is_one_clear_line(tmp_path, capsys, arguments, message):
    _run(tmp_path / "a", _rows([10, 20]))
    _run(tmp_path / "empty")
    assert cli.main(["report", *(text.format(tmp_path) for text in arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err


def test_a_folder_is_not_written_into_by_reading(tmp_path):
    folder = _run(tmp_path / "a", _rows([10, 20]), samples=[10], scores={"l1": 0.25})

    def listing():
        return {p: p.stat().st_mtime_ns for p in [folder, *folder.rglob("*")]}

    before = listing()
    report_page.page([report_page.read(folder)], NOW)
    assert listing() == before
    assert result_files.evaluated_splits(folder) == ["test"]
    (folder / "evaluate-test" / "results.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        report_page.read(folder)
