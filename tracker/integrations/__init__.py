"""Trainers of other libraries, with tracker's checkpoints in the place of their own.

Each module needs the library that it is for: ``lightning``, ``transformers``, ``ignite``.
"""
