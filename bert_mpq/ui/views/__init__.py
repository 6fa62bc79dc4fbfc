"""What a person sees of a run: plans, progress, results."""
