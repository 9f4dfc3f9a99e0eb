"""What few periods count: one optional part of their totals. As `events`: for ever."""

from __future__ import annotations

from msgspec import Struct


class TallyTotals(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What few periods count beside the rest; amounts of units in nano-units by their names.

    ``providers``, ``actual_providers`` and ``models`` are since the last reset, ``earlier`` is
    what all of them counted before it. ``estimated`` is calls, tokens and cost in nano-USD of
    what was priced by the estimate, ``unpriced_calls`` counts the calls of which
    something had no price.
    """

    providers: dict[str, dict[str, int]] = {}
    actual_providers: dict[str, dict[str, int]] = {}
    models: dict[str, dict[str, int]] = {}
    earlier: dict[str, int] = {}
    estimated: tuple[int, int, int] = (0, 0, 0)
    unpriced_calls: int = 0
