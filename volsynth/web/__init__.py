"""What every page of the package shares: who is refused, how it listens, how it says errors.

`serving` needs FastAPI and uvicorn, of the extras `[study]` and `[studio]`.
"""
