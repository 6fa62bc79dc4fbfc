"""Encoder layers perturbed one at a time, all in one forward pass."""

from bert_mpq.probing.classifier import ProbedClassifier
from bert_mpq.probing.probe import Probe

__all__ = ["Probe", "ProbedClassifier"]
