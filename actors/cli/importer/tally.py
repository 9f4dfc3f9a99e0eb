"""What an import has counted, by provider, exactly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from messages.usage import TrackReply


@dataclass(slots=True)
class Sum:
    """Calls, tokens and USD."""

    calls: int = 0
    tokens: int = 0
    cost: Decimal = Decimal(0)

    def add(self, calls: int, tokens: int, cost: Decimal) -> None:
        """Count more of them; 28 digits hold every sum of charges of 1e-9 USD exactly."""
        self.calls += calls
        self.tokens += tokens
        self.cost += cost


@dataclass(slots=True)
class Line:
    """One provider: counted now, counted before (duplicates), and refused."""

    counted: Sum = field(default_factory=Sum)
    duplicates: Sum = field(default_factory=Sum)
    refused: int = 0


@dataclass(slots=True)
class ImportTally:
    """All providers; ``None`` collects rows that were refused before they had one."""

    providers: dict[str | None, Line] = field(default_factory=dict)

    def settle(self, reply: TrackReply) -> None:
        """Count a row that the service has stored, now or before."""
        line = self._line(reply.provider)
        place = line.duplicates if reply.duplicate else line.counted
        place.add(1, reply.tokens_used, reply.cost)

    def rehearse(self, provider: str, tokens: int, cost: Decimal) -> None:
        """Count a row that would be sent; ``cost`` is what the row says itself."""
        self._line(provider).counted.add(1, tokens, cost)

    def refuse(self, provider: object) -> None:
        """Count a row that is not stored."""
        self._line(provider if isinstance(provider, str) else None).refused += 1

    def total(self) -> Line:
        """All providers together."""
        lines = self.providers.values()
        return Line(
            _sum(line.counted for line in lines),
            _sum(line.duplicates for line in lines),
            sum(line.refused for line in lines),
        )

    @property
    def settled(self) -> int:
        """Rows with a final answer, whichever."""
        total = self.total()
        return total.counted.calls + total.duplicates.calls + total.refused

    def _line(self, provider: str | None) -> Line:
        return self.providers.setdefault(provider, Line())


def _sum(sums: Iterable[Sum]) -> Sum:
    total = Sum()
    for part in sums:
        total.add(part.calls, part.tokens, part.cost)
    return total
