"""The built-in data set, `posed_people`: people rendered in NumPy, with exact labels.

`python -m data_prep.posed_people --config 64 --data-dir data` builds it; so does `tfds build`.
"""

from data_prep.posed_people.build import BuildReport, build

__all__ = ["BuildReport", "build"]
