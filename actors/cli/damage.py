"""What a look at a log found, for people: one block for each damage, and for each user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from actors.audit.findings import Finding

USERS_MAX: Final = 10
"""So many are named of a damage."""


def blocks(findings: Sequence[Finding]) -> Iterator[str]:
    """The text of each block: what is damaged, then whose states differ."""
    users = dict[str, list[Finding]]()
    for finding in findings:
        if finding.user:
            users.setdefault(finding.user, []).append(finding)
        else:
            yield "\n".join(_damage(finding))
    for user, some in users.items():
        yield "\n".join(_user(user, some))


def _damage(finding: Finding) -> Iterator[str]:
    place = finding.place or finding.field
    yield f"{finding.file}, {place}: {finding.why}"
    if finding.users:
        more = len(finding.users) - USERS_MAX
        named = ", ".join(finding.users[:USERS_MAX]) + (f" and {more} more" if more > 0 else "")
        yield f"  users: {named}"
    if finding.days is not None:
        first, last = finding.days
        yield f"  days (UTC): {first}" + (f" to {last}" if last != first else "")
    yield from _do([finding])


def _user(user: str, findings: Sequence[Finding]) -> Iterator[str]:
    yield f"user {user}:"
    for finding in findings:
        where = ", ".join(part for part in (finding.period, finding.field) if part)
        yield f"  {where}: {finding.why}"
    yield from _do(findings)


def _do(findings: Sequence[Finding]) -> Iterator[str]:
    for do in dict.fromkeys(finding.do for finding in findings if finding.do):
        yield f"  to do: {do}"
