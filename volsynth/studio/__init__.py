"""The studio: a page on which one poses the person of a picture with the mouse (docs/studio.md).

`server` needs the extra `[studio]`.
"""
