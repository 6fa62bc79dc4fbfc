"""Results as pictures and as a page: needs matplotlib (extra ``plot``)."""

from bert_mpq.ui.figures.page import html_page
from bert_mpq.ui.figures.plots import Material, collect, draw, write_plot

__all__ = ["Material", "collect", "draw", "html_page", "write_plot"]
