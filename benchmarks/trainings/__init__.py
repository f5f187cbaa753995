"""The trainings of frameworks.py, one framework a file, and how they are measured."""
