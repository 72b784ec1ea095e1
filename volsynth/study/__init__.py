"""The study of the metrics: ratings of models from people's decisions between two pictures.

counts = ratings.count(games, models)
first, second = pairs.select(counts, "largest", np.random.default_rng(0))
ratings.fit(counts, models)

The arithmetic needs NumPy and SciPy only, and `server` the extra `[study]`: a machine that serves
or reports a study needs no JAX.
"""
