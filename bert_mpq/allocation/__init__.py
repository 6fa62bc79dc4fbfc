"""From scores to bits per layer."""
