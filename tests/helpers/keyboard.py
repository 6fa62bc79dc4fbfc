"""Keys for prompts without a terminal: real questionary questions on prompt_toolkit's pipe input."""

import contextlib
import threading
import time

from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from tests.helpers.terminal import KEYS


@contextlib.contextmanager
def pressing(*prompts):
    """Answer one prompt after another, each with its keys: "down enter", or ("ctrl-u", "16,8", "enter").

    Every prompt gets its keys once it is on the screen, so that a slow machine loses none.
    """
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()) as session:
        over = threading.Event()

        def press():
            last = None
            for keys in prompts:
                while (app := session.app) is last or app is None or not app.render_counter:
                    if over.wait(0.002):
                        return
                last = app
                for key in keys.split(" ") if isinstance(keys, str) else keys:
                    pipe.send_text(KEYS.get(key, key))
                    time.sleep(0.01)

        thread = threading.Thread(target=press, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
