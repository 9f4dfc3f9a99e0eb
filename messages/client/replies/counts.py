"""The counts of a call as `track` takes them: wholes, and parts that fit into them.

Rules: contract 1.1, section 4 (``token_parts``) and section 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from ...errors import InvalidRequest
from ...scalars import PartName
from .fields import TokenFields
from .reading import TOKENS_MAX, Reply

MODALITIES: Final = ("video", "image", "audio")
"""Of tokens that are no text, in the order in which they are taken to be cached."""
_CACHE_READ_PARTS: Final = ("image", "audio")


@dataclass(slots=True, kw_only=True)
class Tokens:
    """What a reply says of tokens; None is what it does not say.

    Attributes:
        input: all tokens of the input; without those of the caches if ``exclusive``.
        output: all tokens of the output, reasoning among them.
        written_long: those of ``cache_write`` that are kept for the longer time.
        inputs: of the input those of each modality that is no text, cached ones among them.
        cached: of those read from the cache, how many are of which modality, ``text`` too.
        outputs: of the output those of each modality that is no text.
        exclusive: whether the caches come beside the input.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    written_long: int | None = None
    reasoning: int | None = None
    inputs: Mapping[str, int | None] = field(default_factory=dict)
    cached: Mapping[str, int | None] = field(default_factory=dict)
    outputs: Mapping[str, int | None] = field(default_factory=dict)
    exclusive: bool = False

    def fields(self) -> TokenFields:
        """The fields of `track`; those that would be 0 are left out, but for input and output.

        A call with cache counts says how it counts, whatever its provider's setting is.

        Raises:
            InvalidRequest: a sum is too large, or parts are more than their whole.
        """
        found: TokenFields = {}
        if self.input is not None:
            found["tokens_input"] = _bounded(self.input, "tokens_input")
        if self.output is not None:
            found["tokens_output"] = _bounded(self.output, "tokens_output")
        if self.cache_read:
            found["tokens_cache_read"] = _bounded(self.cache_read, "tokens_cache_read")
        if self.cache_write:
            found["tokens_cache_write"] = _bounded(self.cache_write, "tokens_cache_write")
        if self.cache_read or self.cache_write:
            found["token_counting"] = "exclusive" if self.exclusive else "inclusive"
        if self.reasoning:
            found["tokens_reasoning"] = self.reasoning
        if parts := self._parts():
            found["token_parts"] = cast("Mapping[PartName, int]", parts)
        return found

    def _parts(self) -> dict[str, int]:
        parts = {} if self.exclusive else self._input_parts()
        parts |= {f"output_{name}": self.outputs.get(name) or 0 for name in MODALITIES}
        outside = sum(count for name, count in parts.items() if name.startswith("output_"))
        if outside + (self.reasoning or 0) > (self.output or 0):
            raise _over("tokens_reasoning and the modalities of the output", "tokens_output")
        if (self.written_long or 0) > (self.cache_write or 0):
            raise _over("the tokens of the long cache", "tokens_cache_write")
        parts["cache_write_long"] = self.written_long or 0
        return {name: count for name, count in parts.items() if count}

    def _input_parts(self) -> dict[str, int]:
        """The uncached tokens and the cached ones of each modality.

        Cached tokens of which the reply does not say the modality are taken to be text as far as
        there is text, then video, image, audio: the dearest is the last to become cheaper.
        """
        read, written = self.cache_read or 0, self.cache_write or 0
        known = {name: self.cached.get(name) or 0 for name in ("text", *MODALITIES)}
        if sum(known.values()) > read:
            raise _over("the modalities of cached tokens", "tokens_cache_read")
        left = {name: (self.inputs.get(name) or 0) - known[name] for name in MODALITIES}
        whole = self.input or 0
        text = whole - sum(self.inputs.get(name) or 0 for name in MODALITIES) - known["text"]
        if read + written > whole:
            raise _over("the tokens of the caches", "tokens_input")
        if text < 0 or min(left.values()) < 0:
            raise _over("the modalities of the input", "tokens_input")
        left = {"text": text, **left}
        waiting = {"read": read - sum(known.values()), "written": written}
        for name in left:
            for kind in ("read", "written"):
                taken = min(left[name], waiting[kind])
                left[name] -= taken
                waiting[kind] -= taken
                known[name] += taken if kind == "read" else 0
        parts = {f"input_{name}": left[name] for name in MODALITIES}
        return parts | {f"cache_read_{name}": known[name] for name in _CACHE_READ_PARTS}


def by_modality(details: Reply, *names: str) -> dict[str, int | None]:
    """Counts that are called ``audio_tokens`` and so on, by modality."""
    return {name: details.count(f"{name}_tokens") for name in names or MODALITIES}


def total(*counts: int | None) -> int | None:
    """The sum of what is said; None if nothing is."""
    said = [count for count in counts if count is not None]
    return sum(said) if said else None


def _bounded(count: int, name: str) -> int:
    if count > TOKENS_MAX:
        raise InvalidRequest(f"{name} comes to more than {TOKENS_MAX:,}", name)
    return count


def _over(parts: str, whole: str) -> InvalidRequest:
    return InvalidRequest(f"the reply contradicts itself: {parts} are more than {whole}", whole)
