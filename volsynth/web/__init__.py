"""Parts that the pages of the package share: refusing requests, listening, and telling errors.

`serving` needs FastAPI and uvicorn, of the extras `[study]` and `[studio]`.
"""
