"""MPI-INF-3DHP, from the archive that its owners offer for download.

`python -m data_prep.mpi_inf_3dhp --source DIR --data-dir data --config 256` prepares it.
"""
