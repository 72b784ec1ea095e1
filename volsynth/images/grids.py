"""Tables of pictures under column titles and beside row titles."""

import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from volsynth.errors import UserError
from volsynth.images.draw import INK, WHITE, Colour, check_picture


def grid(
    rows: Sequence[Sequence[UInt8[np.ndarray, "_ _ 3"]]],
    column_titles: Sequence[str],
    row_titles: Sequence[str] | None = None,
    cell: int = 128,
    background: Colour = WHITE,
) -> Image.Image:
    """A table of pictures under column titles and, where given, beside row titles.

    Args:
      rows: pictures of any sizes; each is scaled to fill a square cell, its aspect kept.
      column_titles: one title for each picture of a row; wrapped to two lines, then cut short.
      row_titles: one title for each row.
      cell: side of a cell in pixels. Cells grow to the largest picture, so none is made smaller.
      background: colour of the page, 8-bit RGB.

    Raises:
      UserError: there are no pictures, the numbers of titles and pictures differ, a picture is not
        uint8 RGB, or the cell is not positive.
    """
    pictures = [[check_picture("grid", picture) for picture in row] for row in rows]
    _check_table(pictures, column_titles, row_titles, cell)
    cell = max(cell, *(max(picture.shape[:2]) for row in pictures for picture in row))
    # Below 10 points letters run together; above 18 a title of one word fills a line.
    font = ImageFont.load_default(size=max(10.0, min(cell / 9, 18.0)))
    # An accent and a descender make the tallest line that there can be.
    line = round(font.getbbox("Ágjp")[3]) + 2
    gap = max(2, round(cell / 24))
    heads = [_wrap(title, font, cell) for title in column_titles]
    sides = [_wrap(title, font, cell) for title in row_titles or ()]
    widest = max((font.getlength(text) for side in sides for text in side), default=0.0)
    left = gap + (int(widest) + gap if sides else 0)
    top = 2 * gap + line * max(len(head) for head in heads)
    pitch = cell + gap
    size = (left + pitch * len(column_titles), top + pitch * len(pictures))
    page = Image.new("RGB", size, background)
    for column, head in enumerate(heads):
        # Titles stand on the pictures: a one-line title is level with the second line of two.
        y = top - gap - line * len(head)
        _write(page, head, (left + pitch * column + cell // 2, y), "ma", font, line)
    for index, side in enumerate(sides):
        y = top + pitch * index + (cell - line * len(side)) // 2
        _write(page, side, (left - gap, y), "ra", font, line)
    _paste_pictures(page, pictures, (left, top), pitch, cell)
    return page


def _paste_pictures(
    page: Image.Image,
    pictures: Sequence[Sequence[np.ndarray]],
    origin: tuple[int, int],
    pitch: int,
    cell: int,
) -> None:
    """Puts each picture in the middle of its cell; the first cell's corner is at the origin."""
    left, top = origin
    for index, row in enumerate(pictures):
        for column, picture in enumerate(row):
            scaled = _fill(picture, cell)
            x = left + pitch * column + (cell - scaled.width) // 2
            page.paste(scaled, (x, top + pitch * index + (cell - scaled.height) // 2))


def _write(
    page: Image.Image,
    lines: Sequence[str],
    place: tuple[int, int],
    anchor: str,
    font: ImageFont.FreeTypeFont,
    height: int,
) -> None:
    """Writes lines below one another from a place on, dark on a light page and light on a dark."""
    ink = WHITE if sum(page.getpixel((0, 0))) < 3 * 110 else INK
    pen = ImageDraw.Draw(page)
    for number, text in enumerate(lines):
        pen.text((place[0], place[1] + height * number), text, ink, font=font, anchor=anchor)


def _check_table(
    pictures: Sequence[Sequence[np.ndarray]],
    column_titles: Sequence[str],
    row_titles: Sequence[str] | None,
    cell: int,
) -> None:
    if not pictures or not column_titles:
        raise UserError("grid: there is nothing to show: no rows or no columns.")
    for index, row in enumerate(pictures):
        if len(row) != len(column_titles):
            raise UserError(
                f"grid: row {index} has {len(row)} pictures for {len(column_titles)} column titles."
            )
    if row_titles is not None and len(row_titles) != len(pictures):
        raise UserError(f"grid: {len(row_titles)} row titles for {len(pictures)} rows.")
    if cell < 1:
        raise UserError(f"grid: the cell must be at least 1 pixel, got {cell}.")


def _fill(picture: np.ndarray, cell: int) -> Image.Image:
    """Scales a picture until its longer side fills the cell."""
    image = Image.fromarray(picture)
    longest = max(image.size)
    if cell % longest == 0:
        # A whole factor: every pixel stays what the network made it, a visible square.
        return image.resize(
            (image.width * cell // longest, image.height * cell // longest),
            Image.Resampling.NEAREST,
        )
    # Rounding must not make the shorter side of a very narrow picture vanish.
    size = (max(1, round(edge * cell / longest)) for edge in image.size)
    return image.resize(tuple(size), Image.Resampling.LANCZOS)


def _wrap(title: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """At most two lines that fit the width, the last one cut short with an ellipsis if need be."""
    # textwrap counts letters, so the width is first told in letters of a common breadth; lines that
    # are still too wide, of many capitals, are shortened to what the font measures.
    letters = max(1, int(width / max(font.getlength("n"), 1.0)))
    lines = textwrap.wrap(title, letters) or [""]
    if len(lines) > 2:
        lines = [lines[0], lines[1] + "…"]
    return [_shorten(text, font, width) for text in lines]


def _shorten(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text without as many of its last letters as do not fit the width."""
    body = text.removesuffix("…")
    while body and font.getlength(text) > width:
        body = body[:-1]
        text = body + "…"
    return text
