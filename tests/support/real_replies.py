"""Thirty replies of three SDKs with all that is odd about them, and what each costs.

for reply in REAL_REPLIES:
    await client.track("alice", **reply.body())  # costs reply.usd by the rows of LiteLLM
"""

from __future__ import annotations

from typing import Final

from tests.support import anthropic_replies, google_replies, openai_replies

REAL_REPLIES: Final = (
    *openai_replies.REPLIES,
    *anthropic_replies.REPLIES,
    *google_replies.REPLIES,
)
