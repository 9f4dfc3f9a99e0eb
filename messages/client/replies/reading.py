"""Reads replies of others: objects or mappings, whatever they hold, in bounded time.

Nothing here follows a reply to where it leads: whoever maps it asks for the fields that he knows,
so neither depth nor size of what else is there matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from enum import Enum
from typing import Final

from ...errors import InvalidRequest
from ...scalars import TEXT_MAX

TOKENS_MAX: Final = 10**9
"""The most that a count of tokens may be (contract, section 3)."""
ITEMS_MAX: Final = 10_000
"""The most entries of a list that are looked at one by one."""
SECONDS_MAX: Final = 10**9
_MILLISECOND: Final = Decimal("0.001")
_SECONDS_DIGITS_MAX: Final = 32
_NO_OBJECT: Final = (str, bytes, bytearray, bool, int, float, complex, Decimal, Sequence, set)


class Reply:
    """A reply, or an object in it: attributes of an object, or keys of a mapping.

    What is absent or None has no fields, so a path through it ends in None. A value that is
    there and is not what it has to be is an error that names it: to guess would be to misprice.

    Args:
        value: the object or mapping, None if there is none.
        path: where it stands, for errors; "" is the reply itself.
        camel: whether keys of mappings may also be in camel case, as in JSON of Google.
    """

    __slots__ = ("_camel", "_value", "path")

    def __init__(self, value: object, path: str = "", *, camel: bool = False) -> None:
        if isinstance(value, _NO_OBJECT):
            raise _wrong(path or "reply", "an object")
        self._value = value
        self._camel = camel
        self.path = path

    def __bool__(self) -> bool:
        """Whether it is there."""
        return self._value is not None

    def at(self, *names: str) -> Reply:
        """The object in the first of these fields that is there.

        Raises:
            InvalidRequest: it is not an object.
        """
        name, value = self._first(names)
        return Reply(value, self._path(name), camel=self._camel)

    def each(self, name: str) -> Iterator[Reply]:
        """The objects of a list, of which there may be `ITEMS_MAX`.

        Raises:
            InvalidRequest: it is not a list, is too long, or holds what is no object.
        """
        path = self._path(name)
        for index, item in enumerate(self._list(name, ITEMS_MAX)):
            yield Reply(item, f"{path}[{index}]", camel=self._camel)

    def size(self, name: str) -> int | None:
        """How many entries a list has, None if it is absent.

        Raises:
            InvalidRequest: it is not a list.
        """
        return None if self._get(name) is None else len(self._list(name, TOKENS_MAX))

    def count(self, *names: str) -> int | None:
        """The whole number in the first of these fields that is there, 0 to `TOKENS_MAX`.

        Raises:
            InvalidRequest: it is anything else: a float, a bool, a text, negative, too large.
        """
        name, value = self._first(names)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= TOKENS_MAX:
            raise _wrong(self._path(name), f"a whole number from 0 to {TOKENS_MAX:,}")
        return value

    def rounded_count(self, name: str) -> int | None:
        """As `count`, of a field that is a float by its type: 12.0 is 12.

        Raises:
            InvalidRequest: as `count`, and a fraction.
        """
        value = self._get(name)
        if isinstance(value, float) and value.is_integer() and 0 <= value <= TOKENS_MAX:
            return int(value)
        return self.count(name)

    def text(self, *names: str) -> str | None:
        """The text in the first of these fields that is there and not empty.

        Raises:
            InvalidRequest: it is no text, or longer than a text of a call may be.
        """
        for name in names:
            value = self._get(name)
            if isinstance(value, Enum):
                value = value.value
            if value is None or value == "":
                continue
            return check_text(value, self._path(name))
        return None

    def is_true(self, name: str) -> bool:
        """Whether a field is true, and not only something."""
        return self._get(name) is True

    def is_false(self, name: str) -> bool:
        """Whether a field is false, and not only absent."""
        return self._get(name) is False

    def has(self, *names: str) -> bool:
        """Whether one of these fields is there."""
        return self._first(names)[1] is not None

    def holds_object(self, name: str) -> bool:
        """Whether a field is an object, where anything else may stand."""
        value = self._get(name)
        return value is not None and not isinstance(value, _NO_OBJECT)

    def seconds(self, name: str) -> Decimal | None:
        """A length of time as `to_seconds` makes it."""
        value = self._get(name)
        return None if value is None else to_seconds(value, self._path(name))

    def _list(self, name: str, most: int) -> Sequence[object]:
        value = self._get(name)
        if value is None:
            return ()
        if not isinstance(value, list | tuple) or len(value) > most:
            raise _wrong(self._path(name), f"a list of at most {most:,} entries")
        return value

    def _first(self, names: tuple[str, ...]) -> tuple[str, object]:
        for name in names:
            value = self._get(name)
            if value is not None:
                return name, value
        return names[0], None

    def _get(self, name: str) -> object:
        value = self._value
        if not isinstance(value, Mapping):
            return getattr(value, name, None)
        found = value.get(name)
        if found is None and self._camel:
            first, *others = name.split("_")
            found = value.get(first + "".join(map(str.title, others)))
        return found

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def to_seconds(value: object, path: str) -> Decimal:
    """A length of time with three decimals, half to even; a text is one if it is a number.

    Raises:
        InvalidRequest: it is no number, or not from 0 to `SECONDS_MAX`.
    """
    wanted = f"a number of seconds from 0 to {SECONDS_MAX:,}"
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise _wrong(path, wanted)
    if isinstance(value, int) and not 0 <= value <= SECONDS_MAX:
        raise _wrong(path, wanted)
    text = repr(value) if isinstance(value, float) else str(value)  # as it is written: 0.1
    try:
        number = Decimal(text) if len(text) <= _SECONDS_DIGITS_MAX else Decimal("NaN")
    except InvalidOperation:
        raise _wrong(path, wanted) from None
    if not number.is_finite() or not 0 <= number <= SECONDS_MAX:
        raise _wrong(path, wanted)
    return number.quantize(_MILLISECOND, ROUND_HALF_EVEN)


def check_text(value: object, path: str) -> str:
    """A text that a call may have as its model, say.

    Raises:
        InvalidRequest: it is no text, is longer than `TEXT_MAX`, or cannot be sent.
    """
    if not isinstance(value, str) or len(value) > TEXT_MAX:
        raise _wrong(path, f"a text of at most {TEXT_MAX} characters")
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates
        raise _wrong(path, "a text of Unicode") from None
    return value


def size_of(text: object, path: str) -> int:
    """How many characters a text has, as code points.

    Raises:
        InvalidRequest: it is no text.
    """
    if not isinstance(text, str):
        raise _wrong(path, "a text")
    return len(text)


def _wrong(path: str, wanted: str) -> InvalidRequest:
    return InvalidRequest(f"{path} must be {wanted}", path)
