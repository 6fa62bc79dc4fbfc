"""The packages of an extra, checked before anything is written."""

from collections.abc import Iterable
from dataclasses import dataclass

from bert_mpq.settings.errors import MpqError


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package that a format needs.

    Args:
        oldest: the first release that will do.
    """

    name: str
    oldest: str

    @property
    def text(self) -> str:
        """As pip takes it."""
        return f"{self.name}>={self.oldest}"


def check_packages(packages: Iterable[Package], extra: str) -> None:
    """Refuse to go on without packages that are new enough.

    Args:
        extra: of this package, which brings them.

    Raises:
        MpqError: E-EXTRA.
    """
    import importlib.metadata

    from packaging.version import Version

    hint = f"pip install 'bert-mpq[{extra}]', or use --format mpq."
    for package in packages:
        try:
            version = importlib.metadata.version(package.name)
        except importlib.metadata.PackageNotFoundError as error:
            raise MpqError("E-EXTRA", f"{package.name} is not installed.", hint) from error
        if Version(version) < Version(package.oldest):
            raise MpqError(
                "E-EXTRA", f"{package.name} {version} is too old; {package.oldest} or newer is needed.", hint
            )
