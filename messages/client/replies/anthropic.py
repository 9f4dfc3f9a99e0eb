"""Replies of anthropic: messages, the events of their streams, results of batches.

What it counts: ``input_tokens`` has no token of the caches; reasoning is in the output. Its own
numbers are sent as they are, with ``token_counting: exclusive``, so that the log has what its
invoice has and the service adds them up; the fields say so themselves, and no setting of the
provider can add them twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...scalars import Outcome
from .counts import Tokens, total
from .fields import ReplyFields, body, to_factor
from .reading import Reply

ANTHROPIC: Final = "anthropic"
_PLACELESS: Final = frozenset({"global", "not_available"})
_RESULTS: Final[dict[str | None, Outcome]] = {
    "canceled": "cancelled",
    "errored": "failed",
    "expired": "failed",
}


def anthropic_message(
    reply: object,
    *,
    model: str | None = None,
    provider: str = ANTHROPIC,
    price_variant: str | None = None,
) -> ReplyFields:
    """A ``Message``, also one that the SDK made of a stream.

    Cache writes of an hour are ``cache_write_long``, searches of the web are ``web_searches``
    (what it fetched costs nothing), the tier is the ``price_variant``, a faster speed and a region
    are ``price_factors``. What compacting a context used is added: it is not in the other counts.

    Args:
        reply: the object, or a mapping of its fields.
        model: what was asked for, if the reply does not name a model.
        provider: who answers at the SDK's ``base_url``.
        price_variant: ``batch``, say; else what the reply says.

    Raises:
        InvalidRequest: a field of the reply is not what it has to be; the error names it.
    """
    said = Reply(reply)
    usage = said.at("usage")
    return _fields(said, usage, usage, model, provider, price_variant)


def anthropic_stream(
    events: Iterable[object],
    *,
    model: str | None = None,
    provider: str = ANTHROPIC,
    price_variant: str | None = None,
) -> ReplyFields:
    """The events of a stream, of which ``message_start`` and each ``message_delta`` count.

    The counts of a delta are those from the start on, so the last one is taken and nothing is
    added; how long cache writes are kept, and the tier, is said at the start alone. All events
    may be given or these only; a stream that broke off is what had been said until then.

    Args and errors: as `anthropic_message`.
    """
    start, last = Reply(None), Reply(None)
    for each in events:
        event = Reply(each)
        kind = event.text("type")
        if kind == "message_start":
            start, last = event.at("message"), Reply(None)
        elif kind == "message_delta":
            last = event
    return _fields(start, start.at("usage"), last.at("usage"), model, provider, price_variant, last)


def anthropic_batch_result(
    reply: object, *, model: str | None = None, provider: str = ANTHROPIC
) -> ReplyFields:
    """A line of a batch's results: its message in the variant ``batch``, or how it ended.

    Args and errors: as `anthropic_message`.
    """
    result = Reply(reply).at("result")
    if message := result.at("message"):
        usage = message.at("usage")
        return _fields(message, usage, usage, model, provider, "batch")
    outcome = _RESULTS.get(result.text("type"))
    return body(provider, model, variant="batch", outcome=outcome)


def price_factors(usage: Reply) -> list[str]:
    """A speed and a region that multiply the price."""
    speed, place = usage.text("speed"), usage.text("inference_geo")
    found = [to_factor(speed, "usage.speed")] if speed not in {None, "standard"} and speed else []
    if place and place.lower() not in _PLACELESS:
        found.append(to_factor(place, "usage.inference_geo"))
    return found


def _fields(
    said: Reply,
    start: Reply,
    last: Reply,
    model: str | None,
    provider: str,
    variant: str | None,
    end: Reply | None = None,
) -> ReplyFields:
    counts = _tokens(start, last)
    searches = _most("web_search_requests", last.at("server_tool_use"), start.at("server_tool_use"))
    stopped = said.text("stop_reason") or (end and end.at("delta").text("stop_reason"))
    return body(
        provider,
        said.text("model") or model,
        counts.fields(),
        units={"web_searches": searches},
        variant=variant or start.text("service_tier"),
        factors=price_factors(start),
        outcome="ok" if stopped else None,
    )


def _tokens(start: Reply, last: Reply) -> Tokens:
    """The counts of the start and of the last delta, with those of compactions."""
    both = (last, start)
    kept = start.at("cache_creation")
    by_life = (kept.count("ephemeral_5m_input_tokens"), kept.count("ephemeral_1h_input_tokens"))
    written = _most("cache_creation_input_tokens", *both)
    counts = Tokens(
        input=_most("input_tokens", *both),
        output=_most("output_tokens", *both),
        cache_read=_most("cache_read_input_tokens", *both),
        cache_write=total(*by_life) if written is None else written,
        written_long=by_life[1],
        reasoning=_most("thinking_tokens", *(usage.at("output_tokens_details") for usage in both)),
        exclusive=True,
    )
    for entry in (last if last.has("iterations") else start).each("iterations"):
        if entry.text("type") == "compaction":
            life = entry.at("cache_creation")
            counts.input = total(counts.input, entry.count("input_tokens"))
            counts.output = total(counts.output, entry.count("output_tokens"))
            counts.cache_read = total(counts.cache_read, entry.count("cache_read_input_tokens"))
            counts.cache_write = total(
                counts.cache_write, entry.count("cache_creation_input_tokens")
            )
            counts.written_long = total(
                counts.written_long, life.count("ephemeral_1h_input_tokens")
            )
    return counts


def _most(name: str, *usages: Reply) -> int | None:
    """The most that one of these usages says: counts from the start on never fall.

    Services that only speak as anthropic does have zeros at the start, or at the end.
    """
    said = [count for usage in usages if (count := usage.count(name)) is not None]
    return max(said, default=None)
