"""Evaluation: what is scored of runs, models and folders of pictures, and with what."""
