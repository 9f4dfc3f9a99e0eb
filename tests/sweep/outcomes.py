"""What came of a damage, from the best to the worst."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

from tests.sweep.damages import KINDS, Damage

UNUSED: Final = "unused"
SAME: Final = "same"
UNREAD: Final = "unread"
UNAVAILABLE: Final = "unavailable"
REFUSED: Final = "refused"
SILENT: Final = "silent"
UNHEALED: Final = "unhealed"
UNMENDED: Final = "unmended"
UNSAID: Final = "unsaid"
UNKEPT: Final = "unkept"
UNCLEAR: Final = "unclear"
ENDED: Final = "ended"
INTERNAL: Final = "internal"
WRONG: Final = "wrong"
DOUBLED: Final = "doubled"
HUNG: Final = "hung"

GOOD: Final[dict[str, str]] = {
    UNUSED: "it changes nothing of what is stored, and verify says nothing",
    SAME: "every answer is right",
    UNREAD: "every answer is right: no question needs the damaged bytes, which verify names",
    UNAVAILABLE: "what needs the damaged bytes is unavailable, all else is right",
    REFUSED: "the start is refused, by the file's name and with what to do",
}
BAD: Final[dict[str, str]] = {
    SILENT: "verify names nothing, though the damaged bytes carry something",
    UNHEALED: "what can be made anew is not, by a service that ran",
    UNMENDED: "after a mend something is wrong still: with a whole backup at hand anything, without"
    " one for who lost nothing",
    UNSAID: "what is unavailable has no line of its own at error level with file and what to do",
    UNKEPT: "what was to be asked again does not come back",
    UNCLEAR: "a refusal names no file or place, or not what to do",
    ENDED: "the service ended by itself",
    INTERNAL: "an internal error, a traceback, or an exception that nobody expects",
    WRONG: "an answer that is not the right one",
    DOUBLED: "a key that was used is counted again",
    HUNG: "no answer",
}
ORDER: Final = (*GOOD, *BAD)


class Notes:
    """What happened in one case, each thing with its first example.

    Attributes:
        found: the example by one of `ORDER`.
    """

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def add(self, what: str, example: object) -> None:
        """Something happened."""
        self.found.setdefault(what, str(example)[:600])

    def spare(self, *what: str) -> None:
        """It does not matter if this happened."""
        for each in what:
            self.found.pop(each, None)

    def change(self, what: str, other: str) -> None:
        """If something happened, it was another thing."""
        if what in self.found:
            self.found.setdefault(other, self.found.pop(what))

    @property
    def worst(self) -> str:
        """The worst of all, `SAME` if nothing happened."""
        return max(self.found, key=ORDER.index, default=SAME)


class Outcome(msgspec.Struct, frozen=True):
    """What came of one damage.

    Attributes:
        damage: which.
        what: the worst of `ORDER` that happened.
        example: of that, a line.
        seconds: how long it took.
        all: all of `ORDER` that happened.
    """

    damage: Damage
    what: str
    example: str
    seconds: float
    all: tuple[str, ...] = ()

    @property
    def is_bad(self) -> bool:
        """Whether something did not hold."""
        return self.what in BAD


def table(outcomes: Iterable[Outcome]) -> str:
    """How many cases of each file and kind of damage had which outcome."""
    counts = Counter[tuple[str, str, str]]()
    for one in outcomes:
        counts[one.damage.file, one.damage.kind, one.what] += 1
    shown = [what for what in ORDER if any(key[2] == what for key in counts)]
    rows = [["file", "damage", "cases", *shown]]
    for file in dict.fromkeys(key[0] for key in counts):
        for kind in KINDS:
            found = [counts[file, kind, what] for what in shown]
            if any(found):
                rows.append([file, kind, str(sum(found)), *[str(n or "") for n in found]])
    sums = [sum(n for key, n in counts.items() if key[2] == what) for what in shown]
    rows.append(["all", "", str(sum(sums)), *map(str, sums)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def complaints(outcomes: Iterable[Outcome], each: int = 5) -> str:
    """What did not hold, with some examples of each file, kind and outcome."""
    found: dict[tuple[str, str, str], list[Outcome]] = {}
    for one in outcomes:
        if one.is_bad:
            found.setdefault((one.damage.file, one.damage.kind, one.what), []).append(one)
    lines = []
    for (file, kind, what), cases in found.items():
        lines.append(f"{file}, {kind}: {len(cases)} {what} ({BAD[what]})")
        lines += [f"    {case.damage}: {case.example}" for case in cases[:each]]
    return "\n".join(lines)
