"""What the program sets before it imports its libraries, for the server that imports them for the tests."""

from bert_mpq.ui.console import prepare_environment

prepare_environment()
