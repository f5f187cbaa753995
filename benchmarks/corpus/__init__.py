"""The corpus of `benchmarks/rebuild.py`: architectures by library, and what is compared."""
