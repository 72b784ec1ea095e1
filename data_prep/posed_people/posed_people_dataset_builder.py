"""TFDS builder: `tfds build data_prep/posed_people --config=64 --data_dir=DIR`."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from data_prep.building import record_builder
from data_prep.posed_people import plan
from data_prep.posed_people.rendering import records

_DESCRIPTION = """
Rendered people: articulated bodies of varied build in two outfits each, seen by four cameras while
they stand, walk, reach, sit, crawl and more, with 3D joints, masks, part labels and depth.
"""


class Builder(record_builder.RecordBuilder):
    """Renders the data set on all cores; any number of processes gives the same bytes."""

    name = "posed_people"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First."}  # noqa: RUF012
    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=name, description=f"{size.side} x {size.side} pixels")
        for name, size in plan.SIZES.items()
    ]
    processes: int | None = None
    """The number of processes that render; None for all cores."""

    @property
    def size(self) -> plan.Size:
        """The size of this configuration: how much it renders."""
        return plan.SIZES[self.builder_config.name]

    @property
    def image_side(self) -> int:
        """Side of the stored images in pixels."""
        return self.size.side

    @property
    def num_shards(self) -> int:
        """The number of shards of each split."""
        return self.size.shards

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=record_builder.features(self.image_side, optional=("parts", "depth")),
            license="Apache-2.0",
        )

    # Nothing is downloaded: the plan says what there is.
    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        del dl_manager
        return {split: self._generate_examples(split) for split in plan.FIRST_PERSON}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        # In order, so that shards do not depend on which process was faster.
        for batch in records.render_split(self.size, split, self.processes):
            for key, record in batch.records:
                yield key, record_builder.encodable(record)
            if self.on_records is not None:
                self.on_records(len(batch.records), batch.seconds)
