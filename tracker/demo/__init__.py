"""What ``tracker demo`` runs: `train` logs checkpoints, `evaluate` is another process that loads
them. Neither needs anything downloaded: the digits come with scikit-learn."""
