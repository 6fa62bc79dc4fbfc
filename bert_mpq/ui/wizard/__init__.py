"""The questions of the menu, and what they remember."""
