"""Building a data set: from sightings to records, from records to shards with a manifest.

Imports point down this list: `sighting`, `png`, `pools`; `cameras`; `preparing`; `pieces`; `beam`,
`manifest`, `progress`; `record_builder`; `sighting_builder`; `command`.
"""

import os

# Set here, so that it holds before any module of this package loads TensorFlow. TensorFlow only
# writes files here, and what it logs about processors and rounding helps nobody.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
