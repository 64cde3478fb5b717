"""The scratch folder of one worker process; those of dead ones are removed."""

import fcntl
import os
import shutil
from pathlib import Path


class WorkFolder:
    """A folder locked by this process for its life, so that no other removes it."""

    def __init__(self, cache: Path, worker_id: str) -> None:
        parent = cache / "work"
        parent.mkdir(parents=True, exist_ok=True)
        self.path = parent / worker_id
        self.path.mkdir(mode=0o700)
        self._lock = os.open(self.path / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        for other in parent.iterdir():
            if other != self.path:
                _remove_if_dead(other)

    def close(self) -> None:
        os.close(self._lock)
        shutil.rmtree(self.path, ignore_errors=True)


def _remove_if_dead(folder: Path) -> None:
    try:
        lock = os.open(folder / ".lock", os.O_RDWR)
    except OSError:
        # being made this moment, or not one of ours
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)
