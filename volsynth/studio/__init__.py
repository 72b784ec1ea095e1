"""The studio: a page on which a person's picture is posed with the mouse (docs/studio.md).

`server` needs the extra `[studio]`.
"""
