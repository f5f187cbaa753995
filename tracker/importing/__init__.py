"""Checkpoints that others wrote, brought in as tracker's own.

A file is found (``discover.py``), read without ever running what it holds (``safe_load.py``,
``harmless.py``), recognised (``layouts.py``, ``lightning.py``, ``hugging_face.py``), completed by
its name and its run's history, and saved by the same pipeline as any checkpoint (``save.py``).
"""
