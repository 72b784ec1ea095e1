"""Rendering posed bodies to records: cameras and light, the rasteriser, labelled images."""
