"""Paths from messages never leave their folder."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace_worker.errors import MillraceError
from millrace_worker.paths import refuse_links, safe_join

FOLDER = Path("/somewhere/deep")


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "..", "a/../../b", "a//b", "./a", "a\\b", "a\x00b", "a/", "x" * 2_000]
)
def test_bad_paths_are_refused(path: str) -> None:
    with pytest.raises(MillraceError) as caught:
        safe_join(FOLDER, path)
    assert caught.value.code == "invalid_artifact_path"


@given(st.text(alphabet=st.sampled_from(["a", "b", "/", ".", "\\", "~", " "]), max_size=12))
def test_what_is_accepted_stays_inside(path: str) -> None:
    try:
        joined = safe_join(FOLDER, path)
    except MillraceError:
        return
    assert joined.resolve().is_relative_to(FOLDER)
    assert joined.relative_to(FOLDER).as_posix() == path


def test_links_out_of_a_folder_are_refused(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_text("x")
    (inside / "file").symlink_to(tmp_path / "secret")
    (inside / "folder").symlink_to(tmp_path)
    for path in (inside / "file", inside / "folder" / "secret", inside / "missing"):
        with pytest.raises(MillraceError):
            refuse_links(inside, path)
