"""Providers of the lists as providers of ours.

The 14 of the contract keep their ids. Where the two lists name one provider differently it has
one id here, and the other name is an alias of it. Families of one list that are one provider
(`vertex_ai-*`, `cohere_chat`) are one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from importlib.resources import files
from typing import Final

import msgspec

from actors.cli.importer.pricelists.rows import ListedProvider

_ID: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_NO_ID: Final = re.compile(r"[^a-z0-9_.-]+")
_ENDS: Final = ("_calls", "_tokens", "_cost")
_RESERVED: Final = {
    *("monthly", "ai_text_generation", "default", "other", "total", "all"),
}
_SAME: Final = {  # a name of a list: our id
    "exa_ai": "exa",
    "google": "gemini",
    "text-completion-openai": "openai",
    "codestral": "mistral",
    "text-completion-codestral": "mistral",
    "text-completion-inception": "inception",
    "azure_text": "azure",
    "bedrock_converse": "bedrock",
    "aws": "bedrock",
    "cohere_chat": "cohere",
    "fireworks": "fireworks_ai",
    "together": "together_ai",
    "voyageai": "voyage",
    "moonshotai": "moonshot",
    "github-copilot": "github_copilot",
    "x-ai": "xai",
}
_FAMILIES: Final = ("vertex_ai", "fireworks_ai")
_ALIASES: Final = {
    ours: tuple(theirs for theirs, one in _SAME.items() if one == ours)
    for ours in ("bedrock", "fireworks_ai", "together_ai", "voyage", "moonshot", "xai")
}
_NAMES: Final = {
    "aws_polly": "AWS Polly",
    "azure": "Azure OpenAI",
    "azure_ai": "Azure AI Foundry",
    "bedrock": "AWS Bedrock",
    "deepseek": "DeepSeek",
    "github_copilot": "GitHub Copilot",
    "vertex_ai": "Google Vertex AI",
    "xai": "xAI",
    "zai": "Z.AI",
}
_KINDS: Final = {
    "search": "search",
    "embedding": "embedding",
    "rerank": "embedding",
    "image_generation": "media",
    "image_edit": "media",
    "video_generation": "media",
    "audio_transcription": "audio",
    "audio_speech": "audio",
    "vector_store": "storage",
}
"""What a provider is whose models are all about this; whoever has a chat model is an llm."""


class _Builtin(msgspec.Struct):
    name: str
    kind: str
    default_model: str
    aliases: tuple[str, ...] = ()


def _builtins() -> dict[str, _Builtin]:
    data = files("actors.billing.catalog").joinpath("data", "providers.json").read_bytes()
    return {one.name: one for one in msgspec.json.decode(data, type=tuple[_Builtin, ...])}


BUILTIN: Final = _builtins()
"""The providers of the contract."""
_BUILTIN_OF: Final = {alias: name for name, one in BUILTIN.items() for alias in one.aliases}


def provider_id(name: str) -> str | None:
    """Our id of a provider that a list names; None if no id can be made of the name."""
    ours = _SAME.get(name)
    if ours is None:
        family = name.partition("-")[0]
        ours = family if family in _FAMILIES else name
    ours = _NO_ID.sub("-", ours.lower()).strip("-")[:64]
    if ours.endswith(_ENDS) or ours in _RESERVED or not _ID.fullmatch(ours):
        return None
    return _BUILTIN_OF.get(ours, ours)


def described(
    provider: str, modes: Iterable[str] = (), name: str | None = None
) -> ListedProvider | None:
    """The provider of the rows of a list; None: it is one of the contract, and is there.

    Args:
        provider: its id.
        modes: what its models are about, in LiteLLM's words.
        name: what the list calls it.
    """
    if provider in BUILTIN:
        return None
    kinds = Counter(_KINDS.get(mode, "llm") for mode in modes)
    kind = "llm" if "llm" in kinds or not kinds else kinds.most_common(1)[0][0]
    shown = _NAMES.get(provider) or name or provider
    return ListedProvider(provider, shown[:256], kind, _ALIASES.get(provider, ()))
