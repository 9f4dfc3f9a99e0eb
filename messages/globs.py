r"""Globs: ``*`` is any run of characters, ``?`` one, ``\`` takes the next one literally.

Contract 1.1, section 1. A text is matched whole. What it takes is bounded by the length of the
text times that of the glob, whatever they are: between two stars there is no choice but where a
stretch of fixed length first occurs (R. Cox, "Glob Matching Can Be Simple And Fast Too", 2017).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

GLOB_MAX: Final = 128
"""Characters of a glob, with those that make others literal."""
STARS_MAX: Final = 8
"""Stars of a glob."""

Matches = Callable[[str], bool]
"""Whether a text matches."""
_Find = Callable[[str, int], int]
"""Where a stretch first occurs in a text from a place on, -1 if it does not."""


def glob_matcher(glob: str) -> Matches:
    r"""What tells whether a text matches a glob.

    Raises:
        ValueError: it is empty, over `GLOB_MAX` characters or `STARS_MAX` stars, or ends in a
            ``\`` that takes nothing literally. The text says so, without naming a field.
    """
    stretches = _stretches(glob)
    if len(stretches) == 1:
        whole, length = _finder(stretches[0]), len(stretches[0])
        return lambda text: len(text) == length and whole(text, 0) == 0
    first, *between, last = [(_finder(stretch), len(stretch)) for stretch in stretches]

    def matches(text: str) -> bool:
        find, at = first
        end = len(text) - last[1]
        if end < at or find(text[:at], 0) != 0 or last[0](text[end:], 0) != 0:
            return False
        for find, length in between:
            found = find(text, at)
            if found < 0:
                return False
            at = found + length
        return at <= end

    return matches


def escaped(text: str) -> str:
    """The glob that a text alone matches."""
    return re.sub(r"([*?\\])", r"\\\1", text)


_Stretch = list[str | None]
"""Characters, None for any one."""


def _stretches(glob: str) -> list[_Stretch]:
    """What is before, between and behind the stars."""
    if not glob or len(glob) > GLOB_MAX:
        raise ValueError(f"a glob has 1 to {GLOB_MAX} characters")
    found: list[_Stretch] = [[]]
    letters = iter(glob)
    for letter in letters:
        if letter == "*":
            found.append([])
        elif letter == "\\":
            literal = next(letters, None)
            if literal is None:
                raise ValueError("a glob does not end in a single \\")
            found[-1].append(literal)
        else:
            found[-1].append(None if letter == "?" else letter)
    if len(found) - 1 > STARS_MAX:
        raise ValueError(f"a glob has at most {STARS_MAX} stars")
    return found


def _finder(stretch: _Stretch) -> _Find:
    text = "".join([letter or "" for letter in stretch])
    if None not in stretch:
        return lambda where, at: where.find(text, at)
    # Of fixed length and without a choice: what it takes is bounded as a search for a text.
    pattern = "".join(["." if letter is None else re.escape(letter) for letter in stretch])
    search = re.compile(pattern, re.DOTALL).search

    def find(where: str, at: int) -> int:
        found = search(where, at)
        return -1 if found is None else found.start()

    return find
