"""One reply of an SDK, what maps it, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from messages.client import replies
from messages.client.replies import ReplyFields

plain: Any = replies
"""The mappings, with fields that are read as those of a plain dict: tests know which are there."""


@dataclass(frozen=True)
class RealReply:
    """A reply as its SDK gives it.

    Attributes:
        name: what is special about it.
        provider: who gave it.
        build: makes the object, of the SDK's own types; None where the SDK gives no object.
        map: what makes the fields of `track` of it.
        usd: the right cost in USD, exact, by the rows of LiteLLM's list for its model.
        given: arguments of the mapping that the reply does not have.
    """

    name: str
    provider: str
    build: Callable[[], Any]
    map: Callable[..., ReplyFields]
    usd: str
    given: dict[str, Any] = field(default_factory=dict)

    def body(self) -> ReplyFields:
        """The fields of `track`, without user and key."""
        return self.map(self.build(), **self.given)

    def body_of_json(self, *, aliases: bool = False) -> ReplyFields:
        """As `body`, of the JSON that the reply came as."""
        return self.map(as_json(self.build(), aliases=aliases), **self.given)


def as_json(reply: Any, *, aliases: bool = False) -> Any:
    """A reply, or each event of a stream, as mappings; by the names of the wire if ``aliases``."""
    if isinstance(reply, list):
        return [as_json(each, aliases=aliases) for each in reply]
    return None if reply is None else reply.model_dump(mode="json", by_alias=aliases)
