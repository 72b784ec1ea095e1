"""Human3.6M, from the archive that its owners give to those who register.

`python -m data_prep.human36m --source DIR --data-dir data --config 256` prepares it.
"""
