"""DeepFashion In-shop: pictures of fashion shops, in pairs or alone, from files that the user has.

`python -m data_prep.deepfashion --source DIR --config paired-256 --data-dir data` prepares them;
see docs/data.md.
"""
