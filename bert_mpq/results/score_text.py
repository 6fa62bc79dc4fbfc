"""How scores and losses are written."""


def score_text(value: float, decimals: int = 6) -> str:
    """Return ``value`` with ``decimals``, with an exponent where those would show fewer than two figures."""
    return f"{value:.{decimals}f}" if value == 0.0 or abs(value) >= 10.0 ** (1 - decimals) else f"{value:.1e}"
