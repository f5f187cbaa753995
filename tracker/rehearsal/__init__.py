"""Tries whether a training can be resumed exactly: a few steps, and the same steps once more."""
