"""Builders that prepare data sets, one folder each; all write the record of `volsynth`."""
