"""Errors in the menu: its entries instead of flags."""

import pytest

from bert_mpq.settings.errors import MpqError
from bert_mpq.ui.wizard.wording import in_menu_words, tell
from tests.helpers.golden import console, text_of


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Try --max-length 256 or --device cpu.", "Try Max length 256 or Device cpu."),
        ("Use --model PATH, or --model embedded.", "Use Model PATH, or Model embedded."),
        ("Use --text-column NAME.", "Use --text-column NAME."),  # the menu asks, and has no setting
        ("Run Phase 1 first.", "Run Phase 1 first."),
    ],
)
def test_flags_become_the_names_of_settings(text, said):
    assert in_menu_words(text) == said


def test_the_hint_says_where_the_setting_is():
    screen = console()
    tell(MpqError("E-DEVICE", "--device cuda, but PyTorch sees no GPU.", "Use --device cpu."), screen)
    tell(MpqError("E-NOFILE", "No file.", "Run Phase 1 first."), screen)
    assert text_of(screen) == (
        "error[E-DEVICE]: Device cuda, but PyTorch sees no GPU.\n"
        "hint: Use Device cpu. You find it in Settings.\n"
        "error[E-NOFILE]: No file.\n"
        "hint: Run Phase 1 first.\n"
    )


def test_a_wrong_setting_is_answered_in_the_words_of_the_menu(terminal, tmp_path):
    (tmp_path / "file").write_text("")
    screen = terminal().choose("Settings").choose("Output folder").wait("Output folder (Esc")
    screen.press("ctrl-u", "file", "enter").wait("E-READONLY").wait("or Output folder PATH.")
    assert "--output" not in screen.text
