"""What every actor asks of a request before it decides anything."""

from __future__ import annotations

from actors.persistent.context import ActorContext
from actors.runtime.request import Request
from messages.errors import RequestError


def admit(request: Request, context: ActorContext, now: int) -> bool:
    """Whether the request may be decided; False if its key may have come before.

    Raises:
        RequestError: ``deadline_exceeded``, or ``unavailable`` behind a failed write.
    """
    if request.deadline is not None and request.deadline < now:
        raise RequestError("deadline_exceeded", "not executed: its deadline had passed")
    if not context.writer.accepting:
        raise RequestError("unavailable", "not executed: behind a failed write")
    if request.key is None or request.key_is_new:
        return True
    # A key of a request that is refused after this costs the next one with it a look.
    request.key_is_new = context.keys.claim(request.user, request.key)
    return request.key_is_new
