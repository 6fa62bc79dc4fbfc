"""The words that a setting can have."""

from typing import Literal

DEFAULT_MODEL = "textattack/bert-base-uncased-imdb"  # what the model "default" stands for
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["fp32", "tf32", "bf16"]
Split = Literal["calibration", "evaluation"]
Sampling = Literal["stratified", "random"]
Scope = Literal["propagated", "isolated", "cumulative"]
Pooling = Literal["mean", "cls", "none"]
Granularity = Literal["layer", "linear"]
Grouping = Literal["kmeans", "percentile", "hierarchical"]
Clustering = Literal[Grouping, "budget"]
