"""Decisions about admission as replies show them, written out.

To make structs and decimals of every limit first takes three times as long, and every call
that is to be made waits for it. `messages.admission` names the fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from actors.billing.counters.slots import COST, UNITS
from actors.billing.limits.limits import share_of
from messages.codec import quoted
from messages.units import MICROS_PER_SECOND, to_datetime, usd_text

WINDOW: Final = "billing_period"


def decision_text(
    allowed: bool,
    message: str,
    reason: str,
    names: tuple[str, str],
    violated: Iterable[str],
    limits: str,
    about: tuple[str, str],
    retry_after: int | None,
) -> str:
    """The fields of an ``enforce`` reply but ``seq``, without braces.

    ``names`` are the provider and the actual one, ``limits`` a list of `limit_text`,
    ``about`` the usage
    status and the period.
    """
    return (
        f'"allowed":{"true" if allowed else "false"},"message":{quoted(message)},'
        f'"reason_code":"{reason}","provider":"{names[0]}",'
        f'"actual_provider_name":{quoted(names[1])},'
        f'"violated":[{",".join([quoted(name) for name in violated])}],'
        f'"limits":[{limits}],'
        f'"usage_status":"{about[0]}","billing_period":"{about[1]}",'
        f'"retry_after":{"null" if retry_after is None else retry_after}'
    )


def limit_text(
    head: str, unit: int, value: int, used: int, held: int, requested: int, tail: str
) -> str:
    """One limit that a call touches, as an element of ``limits``.

    ``head`` is its `limit_head`, ``tail`` the `limit_tail` of its period.
    """
    before, after = around_requested(head, unit, value, used, held, tail)
    return f"{before}{usd_text(requested) if unit == COST else requested}{after}"


def around_requested(
    head: str, unit: int, value: int, used: int, held: int, tail: str
) -> tuple[str, str]:
    """What stands in a `limit_text` before and behind the amount that the call asks for."""
    left = value - used - held
    share = "null"
    if value:  # a limit of nothing is disabled: an unlimited one is not in force
        in_all = share_of(used, value)
        # A digit in front is quicker than a format.
        share = f"{in_all // 10_000}.{str(10_000 + in_all % 10_000)[1:]}"
    if unit == COST:
        remaining = usd_text(left) if left >= 0 else "-" + usd_text(-left)
        return (
            f'{head}{usd_text(used)},"held":{usd_text(held)},"requested":',
            f',"remaining":{remaining},"percentage":{share}{tail}',
        )
    return (
        f'{head}{used},"held":{held},"requested":',
        f',"remaining":{left},"percentage":{share}{tail}',
    )


@lru_cache(maxsize=4096)
def limit_head(name: str, unit: int, kind: str, value: int) -> str:
    """What a limit of a plan shows to very many calls."""
    limit = usd_text(value) if unit == COST else value
    return (
        f'{{"name":{quoted(name)},"unit":"{UNITS[unit]}","window":"{WINDOW}","kind":"{kind}",'
        f'"limit":{limit},"used":'
    )


def preflight_text(reason: str, message: str, failed: int | None, operations: Iterable[str]) -> str:
    """The fields of a ``preflight`` reply but those of `changed`, without braces."""
    return (
        f'"allowed":{"false" if failed is not None else "true"},"message":{quoted(message)},'
        f'"reason_code":"{reason}","failed_index":{"null" if failed is None else failed},'
        f'"operations":[{",".join(operations)}]'
    )


def changed(text: str, key: str | None, seq: int, *, duplicate: bool = False) -> bytes:
    """The encoded reply of a change: its fields, its key, its position."""
    name = "null" if key is None else quoted(key)
    again = "true" if duplicate else "false"
    return f'{{{text},"event_id":{name},"duplicate":{again},"seq":{seq}}}'.encode()


@lru_cache(maxsize=4096)
def limit_tail(resets_at: int) -> str:
    """How the part of a limit in a reply ends."""
    return f',"resets_at":"{moment_text(resets_at)}"}}'


def hold_text(decision: str, hold_id: str, expires_at: int) -> str:
    """The fields of a hold's reply but those of `changed`: a `decision_text` and the hold."""
    return f'{decision},"hold_id":{quoted(hold_id)},"expires_at":"{moment_text(expires_at)}"'


def moment_text(micros: int) -> str:
    """An instant in UTC, as replies show it: without a fraction where that is 0."""
    second, fraction = divmod(micros, MICROS_PER_SECOND)
    if not fraction:
        return f"{_second_text(second)}Z"
    return f"{_second_text(second)}.{str(MICROS_PER_SECOND + fraction)[1:]}Z"


@lru_cache(maxsize=256)
def _second_text(second: int) -> str:
    """To write one takes longer than the rest of a hold's reply, and many are of one second."""
    return to_datetime(second * MICROS_PER_SECOND).isoformat()[:-6]  # without +00:00
