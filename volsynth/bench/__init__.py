"""`volsynth bench`: ours, the naive form and PyTorch's, in one run.

Machines are noisy, so that only ratios within a run count. Candidates take turns; every figure is
the median over the turns; compiling, and the first run, are outside.
"""
