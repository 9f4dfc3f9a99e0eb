"""What malloc keeps of freed memory."""

from __future__ import annotations

import platform
from pathlib import Path

from persistence.sqlite.malloc import give_back

BLOCKS, BYTES, PAGE = 2_000, 20_000, 4_096


def resident_pages() -> int:
    """Pages of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_memory_that_was_freed_between_what_is_in_use_goes_back_to_the_system() -> None:
    blocks = [bytearray(b"x" * BYTES) for _ in range(BLOCKS)]
    del blocks[::2]
    before = resident_pages()

    give_back()

    if platform.libc_ver()[0] == "glibc":  # another malloc is not asked, and nothing is raised
        assert before - resident_pages() > BLOCKS // 4 * BYTES // PAGE
    assert len(blocks) == BLOCKS // 2
