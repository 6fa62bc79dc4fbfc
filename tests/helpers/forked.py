"""Processes for the tests, forked from a server that has imported the libraries once: a start takes no time.

``ranks`` starts them with what torchrun sets.
"""

import multiprocessing
import os
import socket
import sys
import traceback
from pathlib import Path

LIBRARIES = ["tests.helpers.quiet_libraries", "torch", "torch.distributed"]
LIBRARIES += ["transformers.models.bert.modeling_bert", "sklearn.metrics", "datasets", "bert_mpq.ui.main"]
LIBRARIES += ["bert_mpq.ui.wizard.menu", "bert_mpq.ui.wizard.questions", "bert_mpq.ui.wizard.offers"]
LIBRARIES += ["bert_mpq.runs.full_run"]
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(LIBRARIES)


def started(function, *arguments, environment=None, errors=None):
    """Return a running process that calls ``function``; its stderr goes to the file ``errors``."""
    process = FORKED.Process(target=_call, args=(function, arguments, environment or {}, errors))
    process.start()
    return process


def ranks(size, function, *arguments, folder, launcher=True):
    """Run ``function(*arguments)`` in ``size`` processes; return exit codes and stderr of each.

    As under torchrun the store they meet in is the launcher's and outlives them all; without ``launcher``
    process 0 keeps it, as under mpirun.
    """
    store, agent = (_store(), "True") if launcher else (None, "False")
    port = _free_port() if store is None else store.port
    processes = []
    for rank in range(size):
        environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment |= {"TORCHELASTIC_USE_AGENT_STORE": agent, "TORCHELASTIC_RESTART_COUNT": 0}
        errors = folder / f"errors_{rank}"
        processes.append(started(function, *arguments, environment=environment, errors=errors))
    for process in processes:
        process.join(120)
        process.kill()  # does nothing to one that has ended
        process.join()
    return [p.exitcode for p in processes], [folder.joinpath(f"errors_{r}").read_text() for r in range(size)]


def _store():
    from torch.distributed import TCPStore

    return TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False)


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _call(function, arguments, environment, errors):
    import torch

    os.environ.update({name: str(value) for name, value in environment.items()})
    torch.set_num_threads(1)
    if errors is not None:
        handle = os.open(Path(errors), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(handle, 2)
        sys.stderr = os.fdopen(2, "w", closefd=False)
    try:
        code = function(*arguments)
    except BaseException:
        traceback.print_exc()
        code = 99
    sys.stderr.flush()
    os._exit(code or 0)  # as a process that is killed: nothing is left to the interpreter
