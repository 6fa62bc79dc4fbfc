"""The classifier that comes with the package: the adapter's files, and how they are trained."""
