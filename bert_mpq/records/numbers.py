"""How scores and losses are written."""


def score_text(value: float, decimals: int = 6) -> str:
    """Return ``value`` with ``decimals``, and with an exponent where those would show nothing but zeros."""
    text = f"{value:.{decimals}f}"
    return text if value == 0.0 or float(text) else f"{value:.1e}"
