"""The contenders of saving.py, and how they are measured."""
