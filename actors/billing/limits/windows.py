"""Windows: the span over which a limit counts, and when it begins anew.

The billing period is the only one so far. Each limit has its own, so each has its own end and
its own time to wait; whoever judges or shows a limit asks the limit, never the period.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time over which a limit counts.

    Attributes:
        name: as replies show it.
    """

    name: str

    def resets_at(self, period_end: int) -> int:
        """When the limit counts from zero again, in microseconds, if ``period_end`` is the end
        of the user's billing period.
        """
        return period_end


BILLING_PERIOD: Final = Window("billing_period")
