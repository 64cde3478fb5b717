"""Paths that come from messages: always relative, never out of their folder."""

from pathlib import Path, PurePosixPath

from millrace_worker.errors import MillraceError

MAX_PATH_CHARACTERS = 1_024


def safe_join(folder: Path, path: str) -> Path:
    """`path` inside `folder`.

    Raises:
        MillraceError: `invalid_artifact_path` if it is absolute, has `.`, `..`, an empty part, a backslash
            or a control character.
    """
    parts = path.split("/")
    is_bad = (
        not path
        or len(path) > MAX_PATH_CHARACTERS
        or "\\" in path
        or any(part in ("", ".", "..") for part in parts)
        or any(ord(character) < 0x20 or ord(character) == 0x7F for character in path)
    )
    if is_bad:
        raise MillraceError("invalid_artifact_path", f"The path {path[:200]!r} may not be used in a package.")
    return folder.joinpath(PurePosixPath(path))


def refuse_links(folder: Path, file: Path) -> None:
    """Refuses a file that is not a plain one or is reached over a link: its bytes may lie outside `folder`.

    Raises:
        MillraceError: `invalid_artifact_path`.
    """
    current = file
    while current != folder:
        if current.is_symlink():
            raise MillraceError("invalid_artifact_path", f"{file.name} is reached over a symbolic link.")
        current = current.parent
    if not file.is_file():
        raise MillraceError("invalid_artifact_path", f"{file.relative_to(folder)} is not a file.")
