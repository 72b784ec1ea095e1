"""`volsynth bench`: our code, its naive form and PyTorch's, measured in one run.

Machines are noisy, so that only ratios within one run count. Candidates take turns, and a figure is
the median over the turns; compiling and the first run are not measured.
"""
