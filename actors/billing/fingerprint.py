"""What makes two requests with one key the same: a digest of all that they ask.

Content is the verb and the decoded body without ``event_id``, ``deadline`` and ``timestamp``,
with defaults filled in and aliases resolved (contract, section 2). Of a ``track`` the log has
every field, so `duplicates` compares these; all other changes keep this digest.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import msgspec

from actors.billing.catalog.catalog import Catalog
from messages.admission import Enforce, Extend, Hold, Operation, Preflight, Release
from messages.codec import money_of
from messages.errors import RequestError
from messages.reports import Ack
from messages.subscriptions import Cancel, Resume, Subscribe, Suspend
from messages.units import to_micros
from messages.verbs import Change

TTL_S: Final = 60
"""How long a hold lasts by default, in seconds."""


def content_of(command: Change | Preflight, catalog: Catalog) -> str:
    """The digest of a change.

    Raises:
        InvalidRequest: money that is none.
    """
    source = msgspec.json.encode([type(command).__name__, _parts(command, catalog)])
    return blake2b(source, digest_size=12).hexdigest()


def _parts(command: Change | Preflight, catalog: Catalog) -> list[Any]:  # noqa: PLR0911 -- a table
    match command:
        case Hold():
            return [*_call(command, catalog), command.ttl or TTL_S]
        case Preflight():
            operations = [
                [*_call(operation, catalog), operation.operation_type]
                for operation in command.operations
            ]
            return [operations, command.hold and (command.hold.ttl or TTL_S)]
        case Extend():
            cost = money_of(command.cost_requested, "cost_requested")
            return [command.hold_id, command.ttl, command.tokens_requested, cost]
        case Release():
            return [command.hold_id]
        case Ack():
            return [None if command.ids is None else sorted(set(command.ids)), command.all or False]
        case Subscribe():
            return _subscribe(command, catalog)
        case Cancel():
            return [command.at_period_end is not False]
        case Suspend():
            return [command.reason]
        case Resume():
            return []
        case _:
            raise TypeError(f"{type(command).__name__} keeps no digest")


def _call(ask: Hold | Operation | Enforce, catalog: Catalog) -> list[Any]:
    cost = money_of(ask.cost_requested, "cost_requested")
    calls = 1 if ask.calls is None else ask.calls
    amounts = [calls, ask.tokens_requested or 0, cost]
    try:
        provider = catalog.providers.find(ask.provider)
    except RequestError:  # the key is judged before the provider
        return [ask.provider, ask.model_used, ask.actual_provider_name, *amounts]
    actual = provider.actual_of(ask.actual_provider_name, ask.model_used, ask.endpoint)
    model = ask.model_used or provider.default_model
    return [provider.name, model, actual, ask.endpoint or "", *amounts]


def _subscribe(ask: Subscribe, catalog: Catalog) -> list[Any]:
    plan = catalog.plan(ask.plan)
    overrides = {  # what is no text cannot be stored, so it is never the content of a key
        name: bytes(raw).decode(errors="replace")
        if money_or_text(raw) is None
        else money_or_text(raw)
        for name, raw in sorted((ask.overrides or {}).items())
    }
    return [
        ask.plan if plan is None else plan.terms.name,
        ask.billing_cycle,
        ask.auto_renew is not False,
        None if ask.period_start is None else to_micros(ask.period_start),
        ask.period,
        overrides,
    ]


def money_or_text(raw: msgspec.Raw) -> int | None:
    """A number's value, whatever way it was written; None where it is no amount."""
    try:
        return money_of(raw, "overrides")
    except RequestError:
        return None
