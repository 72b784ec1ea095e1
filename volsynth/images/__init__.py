"""Pictures as arrays of 8-bit colours: read, cropped, masked, filled in, drawn and written."""
