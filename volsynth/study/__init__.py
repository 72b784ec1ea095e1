"""The study of the metrics: ratings of models from people's decisions between two pictures.

counts = ratings.count(games, models)
first, second = pairs.select(counts, "largest", np.random.default_rng(0))
ratings.fit(counts, models)

The arithmetic is NumPy and SciPy; `server` needs the extra `[study]`. Whoever serves or reports a
study needs no JAX.
"""
