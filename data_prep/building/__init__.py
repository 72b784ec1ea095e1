"""Building a data set: from sightings to records, from records to shards with a manifest."""
