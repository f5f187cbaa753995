"""What the processes of the team's benchmark run: people who train and ask, and large files."""
