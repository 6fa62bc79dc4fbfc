"""The Hugging Face hub: whether it answers, and what is already in its cache."""

import functools
import http.client
import threading
import urllib.error
import urllib.request
from pathlib import Path

from bert_mpq.settings.errors import ErrorCode, MpqError


@functools.cache
def hub_reachable(timeout: float = 3.0) -> bool:
    """Return whether the hub answers one HEAD request within ``timeout`` seconds.

    Asked once a session: the retries of transformers and datasets cost 30 s each when the network is down.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    answers: list[bool] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
            with urllib.request.urlopen(request, timeout=timeout):
                answers.append(True)
        except urllib.error.HTTPError:
            answers.append(True)  # it answered, if only with a refusal
        except (OSError, ValueError, http.client.HTTPException):
            answers.append(False)

    # In a thread because a name look-up has no timeout of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return bool(answers and answers[0])


def hub_file(repository: str, filename: str, *, kind: str = "model", revision: str | None = None) -> Path:
    """Return the local path of a file of the hub, from the cache or downloaded.

    Raises:
        MpqError: E-NETWORK when it is not in the cache and the hub does not answer or breaks off; E-MODEL or
            E-DATA-FORMAT when the hub says that there is no such file, or that access is refused.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    cached = cached_file(repository, filename, kind=kind, revision=revision)
    if cached is not None and not hub_reachable():
        return cached
    if not hub_reachable():
        raise network_error(repository)
    try:
        return Path(hf_hub_download(repository, filename, repo_type=kind, revision=revision))
    except LocalEntryNotFoundError as error:
        raise network_error(repository) from error
    except (HfHubHTTPError, ValueError, OSError) as error:
        if cached is not None:
            return cached
        code: ErrorCode = "E-MODEL" if kind == "model" else "E-DATA-FORMAT"
        raise MpqError(
            code, f"The hub has no readable {filename} in {repository}.", "Check the name and your access."
        ) from error
    except Exception as error:  # of the HTTP library, which is another one in every generation of the client
        if cached is not None:
            return cached
        raise MpqError(
            "E-NETWORK", f"The download of {filename} from {repository} broke off.", "Try again."
        ) from error


def cached_file(
    repository: str, filename: str, *, kind: str = "model", revision: str | None = None
) -> Path | None:
    """Return the path of a file in the hub's cache, or None."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        path = try_to_load_from_cache(repository, filename, repo_type=kind, revision=revision)
    except HFValidationError:
        return None
    return Path(path) if isinstance(path, str) else None


def network_error(repository: str) -> MpqError:
    """Return the error for a hub that is needed and does not answer."""
    return MpqError(
        "E-NETWORK",
        f"Cannot reach the Hugging Face hub and {repository} is not in the cache.",
        "Use --model PATH, or --model embedded (pip install 'bert-mpq[offline]').",
    )
