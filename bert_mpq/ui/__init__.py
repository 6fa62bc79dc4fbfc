"""The terminal: the only rooms with questionary and rich."""
