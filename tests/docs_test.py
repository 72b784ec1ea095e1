"""The documentation: its examples run, its commands are commands, its links lead somewhere."""

import pathlib
import re
import shlex

import doc_blocks
import jax
import own_pictures
import pytest
import tiny_detectors

from data_prep.posed_people import portrait
from volsynth import cli, systems
from volsynth.config import load_config
from volsynth.errors import UserError
from volsynth.export import exported_model
from volsynth.images import cropping
from volsynth.poses import joint_orders

ROOT = pathlib.Path(__file__).parents[1]
PAGES = {
    str(p.relative_to(ROOT)): p.read_text() for p in (ROOT / "README.md", *ROOT.glob("docs/*.md"))
}
WITH_EXAMPLES = [name for name in sorted(PAGES) if doc_blocks.blocks(PAGES[name])]


# --- examples ------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path, data_dir, monkeypatch):
    """A folder with what the examples assume to be there.

    Models put dots on joints, or find the pose of the picture, for exported ones take long to make;
    tests/export/exported_predictions_test.py runs the example of docs/export.md with one.
    """
    shot = portrait.shoot()
    portrait.write(tmp_path / "anna.jpg", shot)
    pose = shot.pose
    corner, extent = cropping.square_around_mask(shot.mask)
    px = (pose.joints_px - corner) * own_pictures.SIDE / extent
    models = {
        "demo-model": own_pictures.dots(),
        "pose-model": own_pictures.finder(px, pose.joints_mm),
    }
    tiny_detectors.save(tmp_path / "ssd.onnx", tiny_detectors.ssd())
    (tmp_path / "data").symlink_to(data_dir)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        exported_model, "load", lambda path, program=None: models[pathlib.Path(path).name]
    )
    # Some add to these.
    monkeypatch.setattr(joint_orders, "ORDERS", dict(joint_orders.ORDERS))
    monkeypatch.setattr(systems, "SYSTEMS", dict(systems.SYSTEMS))
    # A step compiles in a third of the time.
    jax.config.update("jax_disable_most_optimizations", True)
    yield tmp_path
    jax.config.update("jax_disable_most_optimizations", False)


def test_there_are_examples_and_none_that_is_not_found():
    pages = ("api", "export", "metrics", "study")
    assert {f"docs/{page}.md" for page in pages} <= set(WITH_EXAMPLES)
    for name, text in PAGES.items():
        assert not re.search(r"^(    |\t)\s*(import|from) \w", text, re.MULTILINE), name
        # Python of a block without a language, or of another one, would not run.
        assert not re.search(r"^```(?!python$)\w*\n(import|from) ", text, re.MULTILINE), name


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run_and_say_what_comes_out(place, name):
    least = {"docs/api.md": 30, "docs/metrics.md": 1, "docs/study.md": 1}
    assert doc_blocks.run(PAGES[name], name) >= least.get(name, 0)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 3  # 4", "4 is stated, it is 3"),
        ("1 == 1  # 1", "1 is stated, it is True"),
        ("(2, 3)  # (2,)", r"\(2,\) is stated"),
        ("[2]  # (2,)", "is stated, it is"),
        ("0.12  # 0.13", "0.13 is stated"),
        ("import numpy as np\nnp.ones(3)  # array([1.0, 1.0, 1.1])", "is stated"),
        ("import numpy as np\nnp.ones(1)  # array([1.0, 1.0])", "is stated"),
        ("import math  # 3", "3 is stated"),
        ("x = 1  # (2, what", "'.2, what' is no value"),
        ("y = x", "name 'x' is not defined"),
    ],
)
def test_examples_that_are_wrong_are_found(code, message):
    with pytest.raises((AssertionError, NameError), match=message):
        doc_blocks.run(f"text\n\n```python\n{code}\n```\n", "page")


def test_examples_of_a_page_share_names_and_comments_may_be_words():
    page = "```python\nx = 1.26  # metres\n```\n\n```python\nx  # 1.3\n[x > 1]  # [True]\n```\n"
    assert doc_blocks.run(page, "page") == 2


# --- commands ------------------------------------------------------------------------------------


def _written(text):
    """Command lines of a page's indented and fenced blocks, whole."""
    block = re.findall(r"^(?: {4}|\t)+(.*)$", text.replace("\\\n", "\\\n    "), re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", "\n".join(block)).splitlines()
    return [part for line in lines for part in re.split(r"\s+&&\s+", line)]


def _mentioned(text):
    """Command lines within sentences and tables, not all of them whole."""
    return [" ".join(found.split()) for found in re.findall(r"`(volsynth [^`]*)`", text)]


COMMANDS = [
    (name, line, is_whole)
    for name, text in sorted(PAGES.items())
    for lines, is_whole in ((_written(text), True), (_mentioned(text), False))
    for line in lines
    if line.startswith("volsynth ")
]


def check_command(line, is_whole=True):
    """Whether the parser takes a command line; one that is not whole may lack what is required.

    Raises:
      AssertionError, UserError: it does not, or there is no such config, variant or key.
    """
    words = shlex.split(line.replace("$p", "float16"), comments=True)[1:]
    words = [word for word in words if word != "…"]
    parser = cli._parser()
    said = []

    def error(message):
        said.append(message)
        raise SystemExit(2)

    for each in _all_parsers(parser):
        each.error = error
    try:
        options, rest = parser.parse_known_args(words)
    except SystemExit:
        assert not is_whole, f"{line}: {said[0]}"
        assert "required" in said[0] or "expected" in said[0], f"{line}: {said[0]}"
        # An error comes before those about options that nobody knows.
        known = {option for each in _all_parsers(parser) for option in each._option_string_actions}
        assert {word for word in words if word.startswith("--")} <= known, line
        return
    assert all(word.startswith("--config.") for word in rest), f"{line}: {rest} is not known"
    spec = getattr(options, "config", None)
    if spec and "configs/" in spec and "NAME" not in spec:
        load_config(spec, rest)


def _all_parsers(parser):
    yield parser
    for action in parser._subparsers._group_actions if parser._subparsers else ():
        for nested in action.choices.values():
            yield from _all_parsers(nested)


def test_commands_are_found():
    assert len([1 for _, _, is_whole in COMMANDS if is_whole]) > 40
    assert len(COMMANDS) > 80


@pytest.mark.parametrize(("name", "line", "is_whole"), COMMANDS)
def test_commands_are_commands(name, line, is_whole, monkeypatch):
    monkeypatch.chdir(ROOT)
    check_command(line, is_whole)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("volsynth trains", "invalid choice: 'trains'"),
        ("volsynth train --config C", "the following arguments are required: --workdir"),
        ("volsynth train --config C --workdir W --wordir V", "'--wordir', 'V'. is not known"),
        ("volsynth generate --model M --image I --out O --frame round", "invalid choice: 'round'"),
        ("volsynth describe --config configs/volumetric.py:huge", "unknown variant 'huge'"),
        ("volsynth describe --config configs/volumetric.py:demo --config.a=1", "has no key 'a'"),
    ],
)
def test_commands_that_are_wrong_are_found(line, message, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises((AssertionError, UserError), match=message):
        check_command(line)


def test_a_mention_may_lack_arguments_but_has_no_option_that_is_not_there(monkeypatch):
    check_command("volsynth train --config C", is_whole=False)
    with pytest.raises(AssertionError, match="--cofnig"):
        check_command("volsynth train --cofnig C", is_whole=False)


# --- links ---------------------------------------------------------------------------------------


def _prose(text):
    """A page without its code."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", lambda found: re.sub(r"[\[\]]", "", found[0]), text)


def _anchors(text):
    """The anchors of the headings of a page, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", _prose(text), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while (anchor := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(anchor)
    return found


LINKS = [
    (name, target)
    for name, text in sorted(PAGES.items())
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(text))
    if not target.startswith("http")
]


def check_link(name, target):
    """Whether a page's link leads to a file, or a heading of one.

    Raises:
      AssertionError: it does not.
    """
    file, _, anchor = target.partition("#")
    path = ((ROOT / name).parent / file).resolve() if file else ROOT / name
    assert path.exists(), f"{name}: there is no {target}"
    assert path.is_relative_to(ROOT), f"{name}: {target} leads out"
    if anchor:
        assert anchor in _anchors(path.read_text()), f"{name}: {file} has no heading #{anchor}"


def test_links_are_found():
    assert len(LINKS) > 60
    assert sum(target.endswith(".png") for _, target in LINKS) >= 10


@pytest.mark.parametrize(("name", "target"), LINKS)
def test_links_lead_somewhere(name, target):
    check_link(name, target)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nothing.md", "there is no nothing.md"),
        ("images/nothing.png", "there is no images/nothing.png"),
        ("data.md#nothing", "data.md has no heading #nothing"),
        ("#nothing", "has no heading #nothing"),
        ("../../../../../../etc", "leads out"),
    ],
)
def test_links_that_lead_nowhere_are_found(target, message):
    with pytest.raises(AssertionError, match=message):
        check_link("docs/generate.md", target)


def test_anchors_are_those_of_the_page():
    page = "# A `b_c`, d!\n\n## [X y](z.md) – 2\n\n## Same\n\n## Same\n\n```\n# no heading\n```\n"
    assert _anchors(page) == {"a-b_c-d", "x-y--2", "same", "same-1"}


def test_all_images_are_shown_somewhere():
    shown = {pathlib.PurePath(target).name for _, target in LINKS}
    assert {path.name for path in (ROOT / "docs" / "images").iterdir()} <= shown


def test_the_index_names_every_page():
    named = {target.partition("#")[0] for name, target in LINKS if name == "docs/README.md"}
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= named
    assert ("README.md", "docs/README.md") in LINKS
