"""Replies of others as the fields of `track`: what a call used, read from what it answered.

    reply = await openai_client.chat.completions.create(...)
    await client.track("alice", **replies.openai_chat(reply), event_id=reply.id)

Each function is pure, takes an object or a mapping of its fields, and imports nothing of the
package that the object is of. What a reply does not say is left out, and no number is made up; a
number that cannot be one raises `InvalidRequest` with the place in the reply as its field.
docs/replies.md says which function is for what.
"""

from __future__ import annotations

from .anthropic import anthropic_batch_result, anthropic_message, anthropic_stream
from .fields import ReplyFields
from .google import google_content, google_embedding, google_images, google_videos
from .langchain import langchain_message
from .litellm import litellm_payload
from .openai import (
    openai_batch,
    openai_chat,
    openai_embedding,
    openai_image_tool,
    openai_realtime,
    openai_response,
)
from .openai_media import openai_images, openai_speech, openai_transcription, openai_video
from .opentelemetry import opentelemetry_span

__all__ = [
    "ReplyFields",
    "anthropic_batch_result",
    "anthropic_message",
    "anthropic_stream",
    "google_content",
    "google_embedding",
    "google_images",
    "google_videos",
    "langchain_message",
    "litellm_payload",
    "openai_batch",
    "openai_chat",
    "openai_embedding",
    "openai_image_tool",
    "openai_images",
    "openai_realtime",
    "openai_response",
    "openai_speech",
    "openai_transcription",
    "openai_video",
    "opentelemetry_span",
]
