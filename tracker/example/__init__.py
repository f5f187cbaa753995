"""An input and the model's output for it, stored so that a rebuilt model can be seen to compute it.

Read in this order: `recording` (when a model is logged), `replay` (when it is loaded), `running`
(what both do with the model), `untouched` (how they leave it).
"""
