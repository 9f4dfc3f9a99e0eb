"""Replies of openai that are billed by what they make or hear: images, speech, audio, videos."""

from __future__ import annotations

from .counts import Tokens
from .fields import ReplyFields, body
from .openai import OPENAI, image_tokens, openai_tokens, outcome_of, with_image_count
from .reading import Reply, size_of, to_seconds


def openai_images(
    reply: object,
    *,
    model: str | None = None,
    provider: str = OPENAI,
    price_variant: str | None = None,
) -> ReplyFields:
    """An ``ImagesResponse``, or the event of a stream that has a finished image.

    The reply names no model. With a usage it is billed by tokens, and ``image_count`` is 0; else
    ``image_count`` is how many images there are.

    Args and errors: as `openai_chat`.
    """
    said = Reply(reply)
    counts = image_tokens(said.at("usage")).fields()
    images = said.size("data")
    if images is None and said.has("b64_json", "url"):
        images = 1
    return body(
        provider,
        said.text("model") or model,
        counts,
        image_count=with_image_count(counts, images),
        variant=price_variant,
    )


def openai_transcription(
    reply: object,
    *,
    model: str | None = None,
    seconds: object = None,
    provider: str = OPENAI,
    price_variant: str | None = None,
) -> ReplyFields:
    """A transcription or translation of audio, plain, verbose or diarized, the last event of its
    stream, or that of a realtime session: by tokens, or by ``seconds`` of audio.

    Args:
        reply: the object, or a mapping of its fields.
        model: what was asked for; the reply does not name it.
        seconds: the length of the audio, if the reply does not say it: a number.
        provider: who answers at the SDK's ``base_url``.
        price_variant: as in `openai_chat`.

    Raises:
        InvalidRequest: as `openai_chat`.
    """
    said = Reply(reply)
    usage = said.at("usage")
    counts = openai_tokens(usage).fields()
    heard = usage.seconds("seconds")
    if heard is None and not counts:
        # A verbose one of before has its length beside the text.
        given = seconds is None
        heard = said.seconds("duration") if given else to_seconds(seconds, "seconds")
    return body(
        provider,
        said.text("model") or model,
        counts,
        units={"seconds": heard},
        variant=price_variant,
    )


def openai_speech(
    reply: object = None,
    *,
    model: str,
    text: str | None = None,
    provider: str = OPENAI,
    price_variant: str | None = None,
) -> ReplyFields:
    """Speech made of ``text``, which is billed by its characters: its reply is sound alone.

    The event ``speech.audio.done`` of a stream has a usage: then it is billed by tokens, and those
    of its output are audio.

    Args and errors: as `openai_chat`.
    """
    usage = Reply(reply).at("usage")
    counts = openai_tokens(usage)
    if usage:
        heard = Tokens(input=counts.input, output=counts.output, outputs={"audio": counts.output})
        return body(provider, model, heard.fields(), variant=price_variant)
    characters = None if text is None else size_of(text, "text")
    return body(provider, model, units={"characters": characters}, variant=price_variant)


def openai_video(
    reply: object,
    *,
    model: str | None = None,
    provider: str = OPENAI,
    price_variant: str | None = None,
) -> ReplyFields:
    """A ``Video``, by its ``seconds`` once it is completed; before, and if it failed, by none.

    Price lists that have a price by size have it as a model of its own, as
    ``sora-2-pro-high-res``: ``model`` wins over the reply's.

    Args and errors: as `openai_chat`.
    """
    said = Reply(reply)
    done = said.text("status") in {"completed", None}
    return body(
        provider,
        model or said.text("model"),
        units={"seconds": said.seconds("seconds") if done else None},
        variant=price_variant,
        outcome=outcome_of(said),
    )
