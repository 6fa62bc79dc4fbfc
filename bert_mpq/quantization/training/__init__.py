"""Quantization-aware training: learned steps, distillation from the FP32 model, frozen to codes again."""
