"""Reprojection: the pixels of a picture moved with the parts of the body that they show."""
