"""Export: a run as one folder that can be given away, and the reader of such folders."""
