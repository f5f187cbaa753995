"""Saving a checkpoint. Read `pipeline` first: the order of a save is the design."""
