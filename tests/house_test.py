"""The size of files and functions, what is annotated, and how much of the code says why."""

import ast
import io
import pathlib
import statistics
import tokenize

import pytest

ROOTS = ("volsynth", "data_prep", "launch", "configs")
FILES = sorted(path for root in ROOTS for path in pathlib.Path(root).rglob("*.py"))
TESTS = sorted(pathlib.Path("tests").rglob("*.py"))
MOST_LINES = 80
"""The lines of a function, docstring included, above which a reason stands beside its first line:
a comment that begins with "Long:"."""


def _functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _length(node):
    return node.end_lineno - node.lineno + 1


def _public(body):
    """The public functions and methods of a module, with those of its public classes."""
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield from _public(node.body) if isinstance(node, ast.ClassDef) else [node]


def test_files_have_one_subject():
    """The median is of the code alone, and empty files of packages do not count in it."""
    lengths = {path: len(path.read_text().splitlines()) for path in (*FILES, *TESTS)}
    of_code = [lengths[path] for path in FILES if lengths[path] > 3]
    assert 100 <= statistics.median(of_code) <= 180
    assert not {str(path): length for path, length in lengths.items() if length > 400}


def test_files_of_tests_have_names_of_their_own():
    """Two that are called alike in two folders are not both run."""
    names = [path.name for path in pathlib.Path("tests").rglob("*_test.py")]
    assert not {name for name in names if names.count(name) > 1}


def test_functions_are_short():
    lengths = sorted(_length(node) for path in FILES for node in _functions(path))
    assert lengths[int(0.9 * len(lengths))] < 40


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_long_function_has_its_reason_beside_it(path):
    lines = path.read_text().splitlines()
    for node in _functions(path):
        if _length(node) > MOST_LINES:
            assert "# Long:" in lines[node.lineno - 1], f"{path}: {node.name}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_public_functions_are_annotated(path):
    """Ruff's ANN rules ask the same of private functions, or of nobody."""
    for node in _public(ast.parse(path.read_text()).body):
        given = node.args
        arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        bare = [a.arg for a in arguments if a and not a.annotation and a.arg not in ("self", "cls")]
        assert not bare, f"{path}: {node.name}: {', '.join(bare)}"
        assert node.returns is not None, f"{path}: {node.name}"


def test_comments_say_why_often_enough():
    """Comments for tools, and lines that divide a file, say nothing."""
    comments = lines = 0
    for path in FILES:
        text = path.read_text()
        lines += len(text.splitlines())
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                comments += not token.string.startswith(("# noqa", "# fmt", "# type", "# ---"))
    assert comments / lines >= 0.04
