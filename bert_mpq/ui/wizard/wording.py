"""Errors in the words of the menu: where a script has a flag, it has an entry."""

import re

from rich.console import Console

from bert_mpq.settings.errors import MpqError
from bert_mpq.ui.views import panels


def tell(error: MpqError, console: Console) -> None:
    """Print an error; its flags become the names of the settings, and the hint says where these are."""
    title, hint = in_menu_words(error.title), in_menu_words(error.hint)
    if hint != error.hint:
        hint += " You find it in Settings."
    panels.print_error(MpqError(error.code, title, hint), console)


def in_menu_words(text: str) -> str:
    """Return ``text`` with the name of the setting in place of every flag that the menu has a setting for."""
    from bert_mpq.ui.wizard.settings import SETTINGS

    names = {f"--{step.field.replace('_', '-')}": step.name for step in SETTINGS}
    return re.sub(r"--[a-z]+(-[a-z]+)*", lambda found: names.get(found[0], found[0]), text)
