"""What the hub's cache holds of a model, at whatever revision: enough to go on without the hub."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The files of a model at one commit, as far as they are in the cache.

    Args:
        folder: where they lie.
        revisions: branches, tags and pull requests that pointed there when they were last asked for.
    """

    folder: Path
    revisions: tuple[str, ...]

    @property
    def commit(self) -> str:
        """Its commit."""
        return self.folder.name

    @property
    def proposed(self) -> bool:
        """Whether it is known from a pull request alone."""
        return bool(self.revisions) and all(name.startswith("refs/pr/") for name in self.revisions)

    def matches(self, revision: str) -> bool:
        """Return whether it is what ``revision`` (a branch, a tag, a pull request, a commit) names."""
        return revision in self.revisions or (len(revision) >= 7 and self.commit.startswith(revision))


def snapshots(repository: str) -> list[Snapshot]:
    """Return every snapshot of a model in the cache, the newest first."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    home = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model")
    try:
        folders = [path for path in (home / "snapshots").iterdir() if path.is_dir()]
        folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        revisions = dict(_revisions(home / "refs"))
    except OSError:
        return []
    return [
        Snapshot(
            folder=folder,
            revisions=tuple(sorted(name for name, commit in revisions.items() if commit == folder.name)),
        )
        for folder in folders
    ]


def _revisions(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the commit of every revision that the cache knows."""
    if not folder.is_dir():
        return
    for path in folder.rglob("*"):
        if path.is_file():
            yield (
                path.relative_to(folder).as_posix(),
                path.read_text(encoding="utf-8", errors="replace").strip(),
            )
