"""How a model is described as JSON and rebuilt from it. No files, no MLflow.

Read in this order: `describe` (what happens when a model is logged), `constructor` and `structure`
(the two descriptions), `proof` (which of them leads back), `instantiate` and `rebuild` (what
happens when it is loaded), `trust` (what it must not do).
"""
