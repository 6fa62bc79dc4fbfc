"""Labelled reviews through a model: tokens, batches, devices, processes, checkpoints, one evaluation."""
