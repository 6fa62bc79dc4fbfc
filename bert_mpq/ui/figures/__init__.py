"""Results as pictures and as a page: needs matplotlib (extra ``plot``)."""
