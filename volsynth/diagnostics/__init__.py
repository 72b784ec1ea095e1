"""Reports on an installation, on data sets, on a config's networks and on a run's volume."""
