"""Many training runs from one specification: what they are, running them, and their results."""
