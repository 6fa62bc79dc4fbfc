"""The words a run may use."""

from typing import Literal

Sampling = Literal["stratified", "random"]
Scope = Literal["propagated", "isolated", "cumulative"]
Pooling = Literal["mean", "cls", "none"]
Granularity = Literal["layer", "linear"]
Grouping = Literal["kmeans", "percentile", "hierarchical"]
Clustering = Literal["kmeans", "percentile", "hierarchical", "budget"]
EmbeddingPrecision = Literal["fp32", "fp16"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["fp32", "tf32", "bf16"]
