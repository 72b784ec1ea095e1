"""Reports about runs: comparisons, curves, and a page in HTML."""
