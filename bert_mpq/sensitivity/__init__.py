"""Phase 1: how much each encoder layer suffers from quantization, in one pass over the reviews."""
