"""Preparing data sets: a package for each, and what they share, `building` and `reading`."""
