"""Replies of google-genai: content, embeddings, images, videos, the live API.

What it counts: cached tokens are in the prompt; what tools gave back to the model is beside the
prompt, thoughts are beside the candidates: both are added. A mapping may have the names of
Google's JSON, as ``usageMetadata``.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from ...scalars import Outcome
from .counts import MODALITIES, Tokens, total
from .fields import ReplyFields, body
from .reading import Reply, to_seconds

GEMINI: Final = "gemini"
_TIER_HEADER: Final = "x-gemini-service-tier"
_TRAFFIC: Final = "on_demand_"
_BY_PROMPT: Final = re.compile(r"gemini-[12](?![0-9])")
"""Gemini before 3."""


def google_content(
    reply: object,
    *,
    model: str | None = None,
    provider: str = GEMINI,
    price_variant: str | None = None,
) -> ReplyFields:
    """A ``GenerateContentResponse``, or the last chunk of a stream, whose counts are of all of it;
    also a ``LiveServerMessage`` with a usage, whose model is an argument.

    Grounding is ``web_searches``: one for the prompt with models before Gemini 3, else one for each
    query. An image model is billed by tokens here, so ``image_count`` is 0, also where it answered
    in words.

    Args:
        reply: the object, or a mapping of its fields.
        model: what was asked for, if the reply does not name a model.
        provider: ``gemini``, or ``vertex_ai`` say.
        price_variant: ``batch``, say; else what the reply says.

    Raises:
        InvalidRequest: a field of the reply is not what it has to be; the error names it.
    """
    said = Reply(reply, camel=True)
    usage = said.at("usage_metadata")
    counts = _tokens(usage).fields()
    queries, outcome = _ended(said)
    name = said.text("model_version") or model
    if is_billed_by_prompt(name):
        queries = min(queries, 1)
    return body(
        provider,
        name,
        counts,
        units={"web_searches": queries},
        image_count=0 if counts else None,
        variant=price_variant or _tier(said, usage),
        outcome=outcome,
    )


def google_embedding(
    reply: object,
    *,
    model: str,
    provider: str = GEMINI,
    price_variant: str | None = None,
) -> ReplyFields:
    """An ``EmbedContentResponse``, by its tokens; by its characters if it says no tokens.

    Args and errors: as `google_content`; the reply does not name the model.
    """
    said = Reply(reply, camel=True)
    usage = said.at("usage_metadata")
    counts = _tokens(usage)
    if counts.input is None:
        counts = Tokens(
            input=total(
                *(
                    each.at("statistics").rounded_count("token_count")
                    for each in said.each("embeddings")
                )
            )
        )
    characters = said.at("metadata").count("billable_character_count")
    return body(
        provider,
        model,
        counts.fields(),
        units={"characters": characters if counts.input is None else None},
        variant=price_variant or _tier(said, usage),
    )


def google_images(
    reply: object,
    *,
    model: str,
    provider: str = GEMINI,
    price_variant: str | None = None,
) -> ReplyFields:
    """A ``GenerateImagesResponse``: ``image_count`` is how many were not filtered out.

    Args and errors: as `google_content`; the reply does not name the model.
    """
    said = Reply(reply, camel=True)
    images = sum(bool(each.at("image")) for each in said.each("generated_images"))
    return body(provider, model, image_count=images, variant=price_variant)


def google_videos(
    reply: object,
    *,
    model: str,
    seconds: object,
    provider: str = GEMINI,
    price_variant: str | None = None,
) -> ReplyFields:
    """A ``GenerateVideosOperation``, or its response: ``seconds`` of each video that was made.

    The reply has no lengths: ``seconds`` is what was asked for, a number. An operation that is not
    done has made none.

    Args and errors: as `google_content`; the reply does not name the model.
    """
    said = Reply(reply, camel=True)
    made = said if said.has("generated_videos") else said.at("response", "result")
    videos = sum(bool(each.at("video")) for each in made.each("generated_videos"))
    outcome: Outcome | None = None
    if said.has("error"):
        outcome = "failed"
    elif made:
        outcome = "ok"
    return body(
        provider,
        model,
        units={"seconds": Decimal(videos) * to_seconds(seconds, "seconds")},
        variant=price_variant,
        outcome=outcome,
    )


def is_billed_by_prompt(model: str | None) -> bool:
    """Whether a model is billed once for a grounded prompt, however many queries it took."""
    return model is not None and _BY_PROMPT.search(model) is not None


def _tokens(usage: Reply) -> Tokens:
    tools = usage.count("tool_use_prompt_token_count")
    thoughts = usage.count("thoughts_token_count")
    prompt, used = _by_modality(usage, "prompt"), _by_modality(usage, "tool_use_prompt")
    answer = usage.count("candidates_token_count", "response_token_count")
    kind = "response" if usage.has("response_tokens_details") else "candidates"
    return Tokens(
        input=total(usage.count("prompt_token_count"), tools),
        output=total(answer, thoughts),
        cache_read=usage.count("cached_content_token_count"),
        reasoning=thoughts,
        inputs={name: prompt.get(name, 0) + used.get(name, 0) for name in MODALITIES},
        cached=_by_modality(usage, "cache"),
        outputs=_by_modality(usage, kind),
    )


def _by_modality(usage: Reply, kind: str) -> dict[str, int]:
    """Of one kind of tokens those of each modality; documents cost as text."""
    found: dict[str, int] = {}
    for each in usage.each(f"{kind}_tokens_details"):
        said = (each.text("modality") or "text").lower()
        name = said if said in MODALITIES else "text"
        found[name] = found.get(name, 0) + (each.count("token_count") or 0)
    return found


def _ended(said: Reply) -> tuple[int, Outcome | None]:
    """How many queries the answers are grounded on, and whether there is an answer."""
    queries = 0
    outcome: Outcome | None = "ok" if said.at("prompt_feedback").has("block_reason") else None
    for candidate in said.each("candidates"):
        queries += candidate.at("grounding_metadata").size("web_search_queries") or 0
        outcome = "ok" if candidate.has("finish_reason") else outcome
    return queries, outcome


def _tier(said: Reply, usage: Reply) -> str | None:
    """The tier: as the usage says it on either platform, else as the header of the answer."""
    traffic = (usage.text("traffic_type") or "").lower()
    tier = traffic.removeprefix(_TRAFFIC).removesuffix("traffic_type_unspecified")
    headers = said.at("sdk_http_response").at("headers")
    return tier or usage.text("service_tier") or headers.text(_TIER_HEADER)
