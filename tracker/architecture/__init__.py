"""How a model is described as JSON and rebuilt from it. No files, no MLflow.

Read in this order: `proof` (what happens when a model is logged), `constructor` and `structure`
(the two descriptions), `rebuild` (what happens when it is loaded), `trust` (what it must not do).
"""
