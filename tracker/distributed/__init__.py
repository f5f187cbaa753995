"""Checkpoints of models that are spread over processes: who holds what, and how they agree.

Knows neither models nor MLflow. In the thread that trains nothing here waits for another process;
in the background they exchange messages through the store by which they found each other, and never
by collectives, which would meet those of training.
"""
