"""Memory of a process that waits: what it need not hold while it does nothing."""

import ctypes
import ctypes.util
import mmap
import sys
from pathlib import Path


def release_program_code() -> int:
    """Gives the resident pages of program code back to the kernel; returns the bytes of the mappings.

    Importing TensorFlow reads most of its 300 MB of code once. Those pages are unchanged copies of files:
    whatever runs again is mapped again from the page cache. Only executable mappings of files are released,
    which are never written to; read-only data may hold relocated pointers. It does nothing but on Linux.
    """
    if sys.platform != "linux":
        return 0
    madvise = ctypes.CDLL(ctypes.util.find_library("c")).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    released = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) < 6 or fields[1] != "r-xp" or not fields[5].startswith("/"):
            continue
        start, end = (int(part, 16) for part in fields[0].split("-"))
        if madvise(start, end - start, mmap.MADV_DONTNEED) == 0:
            released += end - start
    return released
