"""What may be asked for: RunConfig, its flags, the catalogues, and the errors of a wrong answer."""
