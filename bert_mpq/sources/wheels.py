"""Files of installed packages, read without importing the package."""

import hashlib
import importlib.util
from pathlib import Path

from bert_mpq.settings.errors import MpqError

INSTALL_HINT = "pip install 'bert-mpq[offline]' brings everything that a run without the hub needs."


def package_file(package: str, relative: str) -> Path | None:
    """Return the path of a file inside an installed package, or None when it is not installed."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, relative)
        if path.is_file():
            return path
    return None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_sha256(path: Path, expected: str, hint: str = INSTALL_HINT) -> None:
    """Compare the SHA-256 of a file.

    Raises:
        MpqError: E-OFFLINE when it differs: the figures of this project hold for the known file only.
    """
    if sha256(path) != expected:
        raise MpqError(
            "E-OFFLINE", f"{path.name} is not the known file (SHA-256 differs).", "Reinstall: " + hint
        )
