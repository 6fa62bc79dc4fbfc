"""Keys for prompts without a terminal: real questionary questions on prompt_toolkit's pipe input."""

import contextlib
import threading
import time

from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from terminal import KEYS


@contextlib.contextmanager
def pressing(*keys):
    """Press ``keys`` (names, or text) in turn, with a pause after Esc: Esc, Enter at once is Alt-Enter."""
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):

        def press():
            for key in keys:
                pipe.send_text(KEYS.get(key, key))
                time.sleep(0.25 if key == "esc" else 0.03)

        thread = threading.Thread(target=press, daemon=True)
        thread.start()
        yield
        thread.join(10)
