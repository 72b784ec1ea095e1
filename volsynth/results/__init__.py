"""Results of evaluations: their files, their tables, and the protocol of their scores."""
