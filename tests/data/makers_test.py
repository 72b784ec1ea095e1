"""The table of makers: one for each kind of field, of fields that records have."""

from volsynth import fields
from volsynth.data import makers, schema


def test_every_field_of_a_picture_has_a_maker_of_fields_of_the_record():
    assert set(makers.MAKERS) == set(fields.OF_A_PICTURE)
    for kind, maker in makers.MAKERS.items():
        stored = [schema.FIELDS[name].required for name in maker.record_fields]
        assert all(stored) == (not fields.OF_A_PICTURE[kind].optional)
