"""Where reviews and classifiers come from: the hub and its cache, local folders, the offline wheels."""
