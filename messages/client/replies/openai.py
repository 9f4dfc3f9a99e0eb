"""Replies of openai that are billed by tokens: chat, responses, embeddings, realtime, batches.

What it counts: cached tokens and those written to the cache are in the input, reasoning and
predictions that were rejected are in the output. A tool that is billed by the call is an item of
the output; another model that a tool used is a call of its own.
"""

from __future__ import annotations

from typing import Final

from ...scalars import Outcome
from .counts import Tokens, by_modality
from .fields import ReplyFields, TokenFields, body
from .reading import Reply

OPENAI: Final = "openai"
_INPUT: Final = ("prompt_tokens", "input_tokens")
_OUTPUT: Final = ("completion_tokens", "output_tokens")
_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_DETAILS: Final = (
    *("completion_tokens_details", "output_tokens_details", "output_token_details"),
)
_OUTCOMES: Final[dict[str | None, Outcome]] = {
    "completed": "ok",
    "incomplete": "ok",  # it was cut at a limit, and answered until there
    "failed": "failed",
    "cancelled": "cancelled",
    "cancelling": "cancelled",
    "expired": "failed",
    "in_progress": "unknown",
    "queued": "unknown",
    "validating": "unknown",
    "finalizing": "unknown",
}


def openai_chat(
    reply: object,
    *,
    model: str | None = None,
    provider: str = OPENAI,
    price_variant: str | None = None,
) -> ReplyFields:
    """A ``ChatCompletion``, or the chunk of a stream that has the usage: the last one, if asked for
    by ``stream_options``. A chunk without it gives no counts.

    Of models that always search, a reply that cites the web counts as one search.

    Args:
        reply: the object, or a mapping of its fields.
        model: what was asked for, if the reply does not name a model.
        provider: who answers at the SDK's ``base_url``.
        price_variant: ``batch``, say; else what the reply says.

    Raises:
        InvalidRequest: a field of the reply is not what it has to be; the error names it.
    """
    said = Reply(reply)
    outcome: Outcome | None = None
    searched = 0
    for choice in said.each("choices"):
        if choice.text("finish_reason"):
            outcome = "ok"
        if any(note.text("type") == "url_citation" for note in _notes(choice)):
            searched = 1
    return body(
        provider,
        said.text("model") or model,
        openai_tokens(said.at("usage")).fields(),
        units={"web_searches": searched},
        variant=price_variant or said.text("service_tier"),
        outcome=outcome,
    )


def openai_response(
    reply: object,
    *,
    model: str | None = None,
    provider: str = OPENAI,
    price_variant: str | None = None,
) -> ReplyFields:
    """A ``Response``, or the last event of its stream, as ``response.completed``.

    Searches are those that the reply calls billable; where it does not say, each search and
    each look into files that did not fail. Images that a tool made are `openai_image_tool`.

    Args and errors: as `openai_chat`.
    """
    said = _inner(Reply(reply), "response")
    searches, looks = 0, 0
    for item in said.each("output"):
        if item.text("status") != "failed":
            kind = item.text("type")
            looks += kind == "file_search_call"
            # To open a page that was found costs nothing.
            is_search = (item.at("action").text("type") or "search") == "search"
            searches += kind == "web_search_call" and is_search
    billable = said.at("tool_usage").at("web_search").count("num_requests")
    return body(
        provider,
        said.text("model") or model,
        openai_tokens(said.at("usage")).fields(),
        units={
            "web_searches": searches if billable is None else billable,
            "file_searches": looks,
        },
        variant=price_variant or said.text("service_tier"),
        outcome=outcome_of(said),
    )


def openai_image_tool(
    reply: object, *, model: str, provider: str = OPENAI, price_variant: str | None = None
) -> ReplyFields | None:
    """What the tool ``image_generation`` used within a ``Response``: a call of its own, of the
    image ``model`` that the tool was set to. None if it was not used.

    Errors: as `openai_chat`.
    """
    said = _inner(Reply(reply), "response").at("tool_usage").at("image_gen")
    counts = image_tokens(said).fields()
    if not counts.get("tokens_input") and not counts.get("tokens_output"):
        return None
    return body(provider, model, counts, image_count=0, variant=price_variant)


def openai_embedding(
    reply: object,
    *,
    model: str | None = None,
    provider: str = OPENAI,
    price_variant: str | None = None,
) -> ReplyFields:
    """A ``CreateEmbeddingResponse``. Args and errors: as `openai_chat`."""
    said = Reply(reply)
    counts = openai_tokens(said.at("usage")).fields()
    return body(provider, said.text("model") or model, counts, variant=price_variant)


def openai_realtime(
    reply: object, *, model: str, provider: str = OPENAI, price_variant: str | None = None
) -> ReplyFields:
    """An event ``response.done`` of a session, or its response; ``model`` is the session's.

    Args and errors: as `openai_chat`.
    """
    said = _inner(Reply(reply), "response")
    counts = openai_tokens(said.at("usage")).fields()
    return body(provider, model, counts, variant=price_variant, outcome=outcome_of(said))


def openai_batch(reply: object, *, model: str | None = None, provider: str = OPENAI) -> ReplyFields:
    """A ``Batch``: one call with the sums of all its requests, in the variant ``batch``.

    A price that has a step by the size of the input cannot be told from sums: map the lines of the
    output file one by one, with ``price_variant="batch"``, for such models.

    Args and errors: as `openai_chat`.
    """
    said = Reply(reply)
    counts = openai_tokens(said.at("usage")).fields()
    return body(
        provider,
        said.text("model") or model,
        counts,
        variant="batch",
        outcome=outcome_of(said),
    )


def openai_tokens(usage: Reply) -> Tokens:
    """The counts of a usage object as openai, and all that follow it, write it."""
    inside, outside = usage.at(*_INPUT_DETAILS), usage.at(*_OUTPUT_DETAILS)
    cached = inside.at("cached_tokens_details")
    return Tokens(
        input=usage.count(*_INPUT),
        output=usage.count(*_OUTPUT),
        cache_read=inside.count("cached_tokens"),
        cache_write=inside.count("cache_write_tokens"),
        written_long=inside.at("cache_write_tokens_details").count("ttl_12h_tokens"),
        reasoning=outside.count("reasoning_tokens"),
        inputs=by_modality(inside),
        cached=by_modality(cached, "text", "image", "audio"),
        outputs=by_modality(outside),
    )


def image_tokens(usage: Reply) -> Tokens:
    """The counts of an image model: without details, all of its output is image."""
    counts = openai_tokens(usage)
    details = usage.at("cached_tokens_details")  # of a tool, beside the other counts
    if (cached := usage.count("cached_tokens")) is not None:
        counts.cache_read = cached
        counts.cached = {
            "text": details.count("cached_text_tokens"),
            "image": details.count("cached_image_tokens"),
        }
    if not usage.at(*_OUTPUT_DETAILS):
        counts.outputs = {"image": counts.output}
    return counts


def with_image_count(counts: TokenFields, images: int | None) -> int | None:
    """The ``image_count`` of a reply: 0 if it is billed by tokens, so that no image costs twice."""
    return 0 if counts else images


def outcome_of(said: Reply) -> Outcome | None:
    """How it ended by its ``status``; None if there is none, or one that is not known."""
    return _OUTCOMES.get(said.text("status"))


def _inner(event: Reply, name: str) -> Reply:
    """What an event is about, or what is no event itself."""
    return event.at(name) if event.has(name) else event


def _notes(choice: Reply) -> list[Reply]:
    return [note for name in ("message", "delta") for note in choice.at(name).each("annotations")]
