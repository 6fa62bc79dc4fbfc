"""How numbers are written."""

import time


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``0.4 s``, ``12 s``, ``2 min 12 s``, ``1 h 03 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


MEBIBYTE_BITS = 8 * 1024**2


def megabytes(bits: int) -> float:
    """Return bits as MB: bits / 8 / 1024^2."""
    return bits / MEBIBYTE_BITS


def score_text(value: float, decimals: int = 6) -> str:
    """Return ``value`` with ``decimals``, and with an exponent where those would show nothing but zeros."""
    text = f"{value:.{decimals}f}"
    return text if value == 0.0 or float(text) else f"{value:.1e}"


def when(timestamp: str) -> str:
    """Return ``20260113_142530`` as ``2026-01-13 14:25``; anything else as it is."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.strptime(timestamp, "%Y%m%d_%H%M%S"))
    except ValueError:
        return timestamp
