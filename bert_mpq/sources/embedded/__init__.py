"""The classifier that comes with the package: the adapter's files, their loading, and their training."""
