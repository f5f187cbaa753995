"""What keeps an installation in order: its database, and a look at whether everything answers."""
