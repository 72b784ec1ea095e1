"""Data: prepared shards, what a record and a batch hold, and the pipeline from one to the other."""
