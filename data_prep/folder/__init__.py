"""A user's own pictures: a folder of images, a file of poses, and masks where there are any.

`python -m data_prep.folder --source DIR --data-dir data` prepares them; see docs/data.md.
"""
