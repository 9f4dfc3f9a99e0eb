"""How a call's personal fields are stored: kept, hashed or dropped, before anything is written.

A hash is keyed: the same value of a field gives the same text, so that calls can still be told
apart and counted by it, and nobody without the secret can find the value by trying them all,
which for addresses takes seconds if there is no key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final

from messages.stored.events import (
    Personal,
)
from messages.usage import Track

FIELDS: Final = ("user_agent", "ip_address", "error_message", "metadata")
KEEP: Final = "keep"
HASH: Final = "hash"
DROP: Final = "drop"
RULES: Final = (KEEP, HASH, DROP)
SECRET_BYTES_MIN: Final = 16
MARK: Final = "hash:"
"""How a hashed value begins, so that it is not taken for one that was sent."""

_DIGEST_BYTES: Final = 16
_Value = str | dict[str, str] | None


class Privacy:
    """The rule for each personal field.

    Args:
        rules: `KEEP`, `HASH` or `DROP` by field; one that is not named is kept.
        secret: the key of the hashes, empty if there is none.

    Raises:
        ValueError: a field is to be hashed and there is no secret.
    """

    def __init__(self, rules: Mapping[str, str], secret: bytes = b"") -> None:
        self._rules = {name: rules.get(name, KEEP) for name in FIELDS}
        # A key of BLAKE2b has 64 bytes at most.
        self._key = blake2b(secret).digest() if secret else b""
        if HASH in self._rules.values() and not secret:
            raise ValueError("a field cannot be hashed without a secret")

    def stored(self, said: Personal) -> Personal | None:
        """What is stored of what a call says, None if that is nothing."""
        kept = {name: self._kept(name, getattr(said, name)) for name in FIELDS}
        if all(value is None for value in kept.values()):
            return None
        return Personal(**kept)  # type: ignore[arg-type]  # of the field's own type

    def same(self, said: Personal, stored: Personal) -> bool:
        """Whether a call may be the one of which this is stored, under this rule or an other.

        A value that was kept, or hashed with this secret, is known again after the rule was
        changed. What is dropped cannot be told apart, and is no part of a call's content.
        """
        return all(self._same(name, getattr(said, name), getattr(stored, name)) for name in FIELDS)

    def _kept(self, name: str, value: _Value) -> _Value:
        rule = self._rules[name]
        if value is None or rule == KEEP:
            return value
        return self._hashed(name, value) if rule == HASH else None

    def _same(self, name: str, said: _Value, stored: _Value) -> bool:
        if said == stored or (self._rules[name] == DROP and stored is None):
            return True
        if said is None or stored is None or not self._key:
            return False
        return self._hashed(name, said) == stored

    def _hashed(self, name: str, value: str | dict[str, str]) -> _Value:
        digest = self._digest(name)
        if isinstance(value, str):
            return digest(value)
        # Names are chosen by the program that calls, what stands behind them by persons.
        return {key: digest(text) for key, text in value.items()}

    def _digest(self, name: str) -> Callable[[str], str]:
        def digest(text: str) -> str:
            source = text.encode()
            made = blake2b(source, digest_size=_DIGEST_BYTES, key=self._key, person=name.encode())
            return MARK + made.hexdigest()

        return digest


def personal_of(call: Track) -> Personal | None:
    """What a call says of persons, None if it says nothing."""
    if (
        call.user_agent is None
        and call.ip_address is None
        and call.error_message is None
        and not call.metadata
    ):
        return None
    return Personal(
        user_agent=call.user_agent,
        ip_address=call.ip_address,
        error_message=call.error_message,
        metadata=call.metadata or None,
    )
