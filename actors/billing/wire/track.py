"""The reply to a `track`, made of the event that records it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from messages.codec import quoted
from messages.stored.events import (
    UsageRecorded,
)
from messages.units import NANO_PER_USD, usd_text

_PLAIN: Final = '"hold_status":null,"late_settle":false,"alerts":[]'


def track_reply(event: UsageRecorded, key: str, seq: int, *, duplicate: bool = False) -> bytes:
    """What ``track`` answers for an event of the log, now or when its key comes again.

    It is a `TrackReply`, encoded. Written out here, because to make the struct and its decimals
    first takes twice as long, and every call that is tracked waits for it.
    """
    cost, catalog = event.cost_nano, event.cost_catalog_nano
    if catalog is None and cost < NANO_PER_USD:  # nearly always; its parts are not larger
        # `usd_text`, written out: to format with padding takes three times as long.
        costs = (
            f'"cost":0.{str(cost + NANO_PER_USD)[1:]},'
            f'"cost_input":0.{str(event.cost_input_nano + NANO_PER_USD)[1:]},'
            f'"cost_output":0.{str(event.cost_output_nano + NANO_PER_USD)[1:]},'
            '"cost_catalog":null'
        )
    else:
        costs = (
            f'"cost":{usd_text(cost)},"cost_input":{usd_text(event.cost_input_nano)},'
            f'"cost_output":{usd_text(event.cost_output_nano)},'
            f'"cost_catalog":{"null" if catalog is None else usd_text(catalog)}'
        )
    about = _about(
        event.billing_period, event.status, event.priced, event.provider, event.actual, event.late
    )
    plain = event.hold_id is None and event.hold_status is None and not event.alerts
    rest = _PLAIN if plain else _rest(event)
    return (
        f'{{"usage_logged":true,"event_id":{quoted(key)},'
        f'"duplicate":{"true" if duplicate else "false"},{costs},'
        f'"tokens_used":{event.tokens_input + event.tokens_output},{about},{rest},"seq":{seq}}}'
    ).encode()


@lru_cache(maxsize=4096)
def _about(period: str, status: str, priced: str, provider: str, actual: str, late: bool) -> str:
    """The part of a reply that is the same for very many calls."""
    return (
        f'"billing_period":"{period}","usage_status":"{status}","priced":"{priced}",'
        f'"provider":"{provider}","actual_provider_name":{quoted(actual)},'
        f'"late":{"true" if late else "false"}'
    )


def _rest(event: UsageRecorded) -> str:
    status = "null" if event.hold_status is None else quoted(event.hold_status)
    late_settle = event.late_settle or event.hold_status not in {None, "settled"}
    alerts = ",".join([quoted(alert.id) for alert in event.alerts])
    return (
        f'"hold_status":{status},"late_settle":{"true" if late_settle else "false"},'
        f'"alerts":[{alerts}]'
    )
