"""Weight quantization: the algorithms, and their application to a model."""
