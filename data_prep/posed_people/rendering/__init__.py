"""From a posed body to a record: cameras and light, the rasteriser, images with their labels."""
