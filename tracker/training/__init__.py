"""What training consists of beside the model, taken from live objects and given back to them.

Saving and loading both need it: which objects keep a state, what random generators are in, and
which of the model's parameters an optimizer has in which place.
"""
