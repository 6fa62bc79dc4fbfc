"""What takes long and is only read: made by the first process of a test session that asks for it."""

import os
import pickle

from filelock import FileLock


def once(tmp_path_factory, name, make):
    """Return what ``make(folder)`` gives in a new folder; the other workers of pytest-xdist read the same."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"once-{name}"
    kept = folder.with_suffix(".pickle")
    with FileLock(folder.with_suffix(".lock")):
        if not kept.exists():
            folder.mkdir()
            made = pickle.dumps(make(folder))
            kept.write_bytes(made)
    return pickle.loads(kept.read_bytes())
