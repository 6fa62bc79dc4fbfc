"""Compressed checkpoints: an evaluated plan as a folder on disk, and back."""
