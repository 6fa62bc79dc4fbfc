"""Results as pictures (extra ``plot``), and as a page."""
