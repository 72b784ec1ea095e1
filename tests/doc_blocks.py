"""The Python examples of the documentation: found, run, and the values that they state compared.

A page's examples share their names, as somebody's who tries one after the other. A comment behind
an expression or an assignment states its value, if it is one: `sum(shape)  # 12`.
"""

import ast
import io
import re
import tokenize
from typing import Any, NamedTuple

import numpy as np

_FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STATES = re.compile(r"[\[({'\"\-0-9]|(array\(|True|False|None)")


class Block(NamedTuple):
    """An example.

    Attributes:
      line: of its page, before its first one.
      code: of it.
    """

    line: int
    code: str


def blocks(text: str) -> list[Block]:
    """All examples of a page."""
    return [Block(text[: found.start(1)].count("\n"), found[1]) for found in _FENCE.finditer(text)]


def run(text: str, name: str) -> int:
    """Runs the examples of a page; returns how many values were compared.

    Args:
      text: of the page.
      name: of it, for messages.

    Raises:
      AssertionError: a value is not what its comment says, or the comment cannot be read.
    """
    names: dict[str, Any] = {"__name__": "example"}
    compared = 0
    for block in blocks(text):
        comments = _comments(block.code)
        for statement in ast.parse(block.code, name).body:
            comment = comments.get(statement.end_lineno, "")
            ast.increment_lineno(statement, block.line)
            where = f"{name}:{statement.end_lineno}"
            value = _run(statement, name, names)
            if _STATES.match(comment):
                compare(value, comment, where)
                compared += 1
    return compared


def compare(value: Any, comment: str, where: str) -> None:
    """Whether a value is the one that a comment states, to the digits that it has.

    Raises:
      AssertionError: it is not, or the comment cannot be read.
    """
    try:
        stated = ast.parse(comment, mode="eval").body
        is_array = isinstance(stated, ast.Call) and ast.unparse(stated.func) == "array"
        stated = ast.literal_eval(stated.args[0] if is_array else stated)
    except (SyntaxError, ValueError) as error:
        raise AssertionError(f"{where}: {comment!r} is no value.") from error
    digits = max((len(part) for part in re.findall(r"\.(\d*)", comment)), default=0)
    if is_array:
        value, stated = np.asarray(value), np.asarray(stated)
        # An array is no scalar, nor one of another length, that it would be repeated to.
        same = value.shape == stated.shape and np.allclose(value, stated, 0, 0.501 * 10**-digits)
    else:
        same = _same(value, stated, 0.501 * 10**-digits)
    assert same, f"{where}: {comment} is stated, it is {value!r}."


def _same(value, stated, within):
    if isinstance(stated, (tuple, list)):
        return (
            type(value) is type(stated)
            and len(value) == len(stated)
            and all(_same(a, b, within) for a, b in zip(value, stated))
        )
    if isinstance(stated, float):
        return abs(float(value) - stated) <= within
    return type(value) is type(stated) and value == stated


def _comments(code):
    """{line: the comment that ends it}"""
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return {t.start[0]: t.string[1:].strip() for t in tokens if t.type == tokenize.COMMENT}


def _run(statement, name, names):
    """Runs a statement; returns the value of an expression, or what was assigned to one name."""
    if isinstance(statement, ast.Expr):
        return eval(compile(ast.Expression(statement.value), name, "eval"), names)
    exec(compile(ast.Module([statement], []), name, "exec"), names)
    is_assigned = isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    return names[statement.targets[0].id] if is_assigned else NotImplemented
