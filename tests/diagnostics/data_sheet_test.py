"""The contact sheet: every record asked for is on it, whatever the number."""

import numpy as np
import pytest
import shards

from volsynth.data import decoding
from volsynth.diagnostics import data_sheet
from volsynth.images import draw, grids


@pytest.fixture
def tables(monkeypatch):
    """The rows and titles that the drawing of the table is given."""
    seen = []
    real = grids.grid

    def grid(rows, titles, **options):
        seen.append((rows, titles))
        return real(rows, titles, **options)

    monkeypatch.setattr(grids, "grid", grid)
    return seen


def _filled(rows):
    return [cell for row in rows for cell in row if np.any(cell != 255)]


@pytest.mark.parametrize(
    ("count", "shape"), [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 3)), (7, (3, 3))]
)
def test_every_record_has_its_cells(tiny, tables, count, shape):
    sheet = data_sheet.contact_sheet(tiny.split("test"), count)
    ((rows, titles),) = tables
    assert titles == ["picture", "joints", "parts"] * shape[1]
    assert (len(rows), len(rows[0])) == (shape[0], 3 * shape[1])
    assert len(_filled(rows)) == 3 * count
    assert sheet.mode == "RGB"
    blank = [[np.full((1, 1, 3), 255, np.uint8)] * len(titles)] * len(rows)
    assert sheet.size == grids.grid(blank, titles, cell=128).size


def test_more_records_than_there_are_show_all_of_them_once(tiny, tables):
    split = tiny.split("test")
    data_sheet.contact_sheet(split, 100)
    pictures = {picture.tobytes() for picture in _filled(tables[0][0])[::3]}
    assert pictures == {
        i.tobytes() for i in decoding.read_fields(split, range(16), ["image"])["image"]
    }


def test_the_seed_chooses_the_records(tiny, tables):
    for seed in (0, 0, 1):
        data_sheet.contact_sheet(tiny.split("test"), 3, seed)
    first, again, other = ([c.tobytes() for c in _filled(rows)] for rows, _ in tables)
    assert first == again
    assert first != other


def test_part_labels_are_coloured_and_joints_drawn_over(tiny, tables):
    data_sheet.contact_sheet(tiny.split("test"), 1)
    picture, over, parts = tables[0][0][0]
    assert np.any(picture != over) or over.shape != picture.shape
    colours = {tuple(c) for c in parts.reshape(-1, 3).tolist()}
    assert colours <= {tuple(c) for c in draw.PART_COLOURS.tolist()}
    assert len(colours) > 3


def test_a_data_set_without_part_labels_is_shown_without_them(tiny, tables, tmp_path):
    records = shards.examples(tiny.split("test"), range(4))
    for record in records:
        del record.features.feature["parts"]
    data = shards.write(tmp_path, {"test": records})
    data_sheet.contact_sheet(data.split("test"), 4)
    rows, titles = tables[0]
    assert titles == ["picture", "joints"] * 3
    assert len(_filled(rows)) == 2 * 4


def test_every_joint_is_named_on_both_sides_of_one_large_picture(tiny):
    sheet = np.asarray(data_sheet.named_joints(tiny.split("test"), side=300))
    assert sheet.shape == (300, 500, 3)
    written = (sheet != 255).any(axis=-1)
    # Eight names on the left, seven on the right, each in its own band.
    for columns, count in ((slice(0, 90), 8), (slice(410, 500), 7)):
        bands = np.array_split(written[:, columns].any(axis=1), count)
        assert all(band.any() for band in bands)
    other = np.asarray(data_sheet.named_joints(tiny.split("test"), seed=1, side=300))
    assert (other != sheet).any()
