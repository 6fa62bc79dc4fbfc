"""The questions in plain lines, for screen readers and for terminals that cannot redraw.

Ctrl-C raises KeyboardInterrupt, Ctrl-D EOFError.
"""

from collections.abc import Callable, Sequence

GOES_BACK = "b"


def choose_number(message: str, rows: Sequence[tuple[str, str, str]], default: int) -> int:
    """Print rows with their numbers and read one; return its index.

    Args:
        rows: title, description, and why it cannot be chosen ("" when it can).
        default: the row that Enter takes.
    """
    print(message if message.endswith("?") else f"{message}:")
    for number, (title, description, disabled) in enumerate(rows, start=1):
        print(f"{number}. {title}{_remark(description, disabled)}")
    while True:
        text = input(f"Number from 1 to {len(rows)}, Enter for {default + 1}: ").strip()
        index = int(text) - 1 if text.isascii() and text.isdecimal() else -1 if text else default
        if not 0 <= index < len(rows):
            print(f"Type a number from 1 to {len(rows)}.")
        elif rows[index][2]:
            print(f"{rows[index][0]} cannot be chosen: {rows[index][2]}.")
        else:
            return index


def type_line(message: str, check: Callable[[str], str], default: str) -> str | None:
    """Read a line until ``check`` finds nothing wrong with it; None where the user goes back."""
    kept = f", Enter for {default}" if default else ""
    while True:
        text = input(f"{message} ({GOES_BACK} goes back{kept}): ") or default
        if text.strip() == GOES_BACK:
            return None
        problem = check(text)
        if not problem:
            return text
        print(f"{problem}.")


def confirm_line(message: str, default: bool, can_go_back: bool) -> bool | None:
    """Read y or n, Enter for ``default``; None where the user goes back."""
    usual = "y" if default else "n"
    back = f", {GOES_BACK} goes back" if can_go_back else ""
    while True:
        text = input(f"{message} (y or n{back}, Enter for {usual}): ").strip().lower() or usual
        if text in ("y", "yes", "n", "no"):
            return text.startswith("y")
        if can_go_back and text == GOES_BACK:
            return None
        print("Type y or n.")


def _remark(description: str, disabled: str) -> str:
    if disabled:
        return f" (cannot be chosen: {disabled})"
    return f". {description}" if description else ""
