"""Several processes of one run, on one host or several, as torchrun starts them.

Each process works on its own share of the batches; sums are all-reduced; process 0 prints and writes.
Transport and collectives are torch.distributed's; a function that needs the other processes raises MpqError
E-DISTRIBUTED when one is lost. Where there is one process nothing here does anything, and torch is not
imported.
"""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from bert_mpq.settings.errors import MpqError

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")
TIMEOUT = timedelta(minutes=30)  # processes wait this long for the slowest one
PATIENCE = 2.0  # seconds in which a process that has failed can tell why before the others speak


def launched() -> bool:
    """Return whether torchrun started this process as one of several."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def rank() -> int:
    """Return the number of this process in the run; 0 prints and writes."""
    if _initialized():
        return int(_dist().get_rank())
    return int(os.environ["RANK"]) if launched() else 0


def local_rank() -> int:
    """Return the number of this process on its host: the GPU it uses."""
    return int(os.environ.get("LOCAL_RANK", "0")) if launched() else 0


def size() -> int:
    """Return how many processes have joined the run."""
    return int(_dist().get_world_size()) if _initialized() else 1


def join() -> None:
    """Meet the other processes that torchrun started; nothing where there are none, or at a second call.

    Raises:
        MpqError: E-DISTRIBUTED when they cannot be reached.
    """
    if not launched() or _initialized():
        return
    import torch
    import torch.distributed as dist

    both = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if both else "gloo", timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise MpqError(
            "E-DISTRIBUTED",
            f"Cannot reach the other processes: {str(error).splitlines()[0][:120]}",
            "Start them all with the same torchrun command; see --rdzv-endpoint.",
        ) from error


def leave() -> None:
    """Say goodbye to the other processes, at the end of a run that went well."""
    if _initialized():
        _dist().destroy_process_group()


@contextlib.contextmanager
def collective() -> Iterator[None]:
    """Turn the loss of another process into one sentence; raises MpqError E-DISTRIBUTED."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise MpqError(
            "E-DISTRIBUTED",
            f"Another process of this run has ended or cannot be reached ({reason}).",
            "Look for its error above or in the log of its host, then start the same command again.",
        ) from error


def on_first(function: Callable[[], T]) -> T:
    """Return on every process what ``function`` returns on process 0; the others do not call it.

    Raises:
        MpqError: what ``function`` raised, on every process; E-DISTRIBUTED.
    """
    if size() == 1:
        return function()
    answer: list[Any] = [None, None]
    if rank() == 0:
        try:
            answer[0] = function()
        except MpqError as error:
            answer[1] = (error.code, error.title, error.hint)
            with collective():
                _dist().broadcast_object_list(answer)
            raise
    with collective():
        _dist().broadcast_object_list(answer)
    if answer[1] is not None:
        raise SharedError(*answer[1])
    value: T = answer[0]
    return value


class SharedError(MpqError):
    """An error of process 0, which tells it, on another process, which does not."""


def gather(value: T) -> list[T]:
    """Return ``value`` of every process, by rank, on every process."""
    if size() == 1:
        return [value]
    values: list[Any] = [None] * size()
    with collective():
        _dist().all_gather_object(values, value)
    return values


def agree(what: str, value: object) -> None:
    """Refuse to go on when ``value`` is not the same on every process; raises MpqError E-DISTRIBUTED."""
    for other, theirs in enumerate(gather(value)):
        if theirs != value:
            raise MpqError(
                "E-DISTRIBUTED",
                f"The processes have different {what}: {value} in process {rank()}, {theirs} in {other}.",
                "Give every host the same versions, model, data and settings.",
            )


def add(tensor: "Tensor") -> None:
    """Sum ``tensor`` over all processes, in place."""
    if size() > 1:
        with collective():
            _dist().all_reduce(tensor)


def share(items: Sequence[T]) -> Sequence[T]:
    """Return the items of this process: every one belongs to exactly one process."""
    return items[rank() :: size()]


def use_weights_of_first(module: "nn.Module") -> None:
    """Give every process the weights of process 0: rounding differs between kinds of machines."""
    if size() > 1:
        with collective():
            for tensor in [*module.parameters(), *module.buffers()]:
                _dist().broadcast(tensor.data, 0)


def reports(error: BaseException) -> bool:
    """Return whether this process is the one that tells the user why the run failed: the first to fail.

    The others fail for want of that one, a little later, and keep silent; so they give it some time.
    """
    if not launched():
        return True
    if isinstance(error, SharedError):
        return False
    if isinstance(error, MpqError) and error.code == "E-DISTRIBUTED":
        time.sleep(PATIENCE)
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    host, port = os.environ.get("MASTER_ADDR", ""), int(os.environ.get("MASTER_PORT", "0"))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    try:
        store = TCPStore(host, port, None, False, timedelta(seconds=PATIENCE))
        first = store.compare_set(f"bert_mpq/failed/{attempt}", "", str(rank()))
    except RuntimeError:
        return True  # whoever kept the store is gone
    if rank() == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        time.sleep(PATIENCE)  # this process keeps the store: let the others ask
    return bool(first.decode() == str(rank()))


def place() -> str:
    """Return this process in words, for an error message."""
    return f"process {rank()} of {os.environ.get('WORLD_SIZE', '1')} on {socket.gethostname()}"


def _initialized() -> bool:
    dist = _dist() if "torch.distributed" in sys.modules else None
    return dist is not None and dist.is_available() and dist.is_initialized()


def _dist() -> Any:
    return sys.modules["torch.distributed"]
