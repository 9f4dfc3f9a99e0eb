"""What the names of a repeated request mean: contract 1.1, section 0."""

from __future__ import annotations

import pytest

from actors.billing.catalog.names import NOT_TOLD, Names, Said, Told, detail_of, names_then
from actors.billing.catalog.providers import BUILTIN, Provider, Providers
from messages.stored.catalog import Detection
from messages.stored.detail import UsageDetail

THEN = Provider(
    id="vllm",
    name="vllm",
    default_model="llama",
    served_by="rack",
    aliases=("own",),
    detect=(Detection("azure", ("gpt-*",)),),
)
NOW = Provider(id="vllm", name="vllm", default_model="qwen", served_by="cloud")
OTHER = Provider(id="runpod", name="runpod", served_by="runpod", aliases=("own", "huggingface"))
MOVED = Provider(id="mistral", name="mistral", default_model="large", served_by="mistral")


def providers(*others: Provider) -> Providers:
    found = Providers(BUILTIN.values())
    for provider in others:
        found.put(provider)
    return found


def stored(said: Said, known: Providers) -> tuple[Names, Told]:
    """What an event has of a call."""
    found = known.find(said.provider)
    actual = found.actual_of(said.actual, said.model, said.endpoint)
    detail = detail_of(found, *said) or UsageDetail()
    names = Names(found.id, actual, said.model or found.default_model)
    return names, Told(detail.alias, detail.filled)


def said(provider: str, model: str | None = None, actual: str | None = None) -> Said:
    return Said(provider, model, actual, None)


CALLS = [
    said(provider, model, actual)
    for provider in ("vllm", "own", "huggingface", "mistral", "openai", "video")
    for model in (None, "", "gpt-4", "wan-2.5", "default")
    for actual in (None, "", "me")
]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_the_same_request_has_the_names_that_it_had(call: Said) -> None:
    names, told = stored(call, providers(THEN))
    assert names_then(call, names, told, providers(NOW, MOVED, OTHER)) == names
    # The canonical provider, and what was filled in, say the same.
    canonical = call._replace(provider=names.provider)
    assert names_then(canonical, names, told, providers(NOW, MOVED, OTHER)) == names


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_another_request_has_other_names(call: Said) -> None:
    names, told = stored(call, providers(THEN))
    later = providers(NOW, MOVED, OTHER)
    for change in ({"provider": "exa"}, {"provider": "runpod"}, {"model": "x"}, {"actual": "x"}):
        assert names_then(call._replace(**change), names, told, later) != names
    assert names_then(call._replace(provider="nobody"), names, told, later) is None


def test_nothing_is_said_of_what_the_program_fills_in() -> None:
    for call in CALLS:
        if call.provider not in {"vllm", "own"}:
            assert stored(call, providers(THEN))[1] == NOT_TOLD
    bare = Provider(id="vllm", name="vllm", served_by="vllm")
    assert detail_of(bare, "vllm", None, None, None) is None


def test_what_was_said_then_is_not_left_out_now_if_it_means_something_else() -> None:
    """Nothing was filled in, so a request that leaves it out means what it means now."""
    call = said("vllm", "mine", "me")
    names, told = stored(call, providers(THEN))
    assert told == NOT_TOLD
    later = providers(NOW)
    assert names_then(said("vllm", None, "me"), names, told, later) == Names("vllm", "me", "qwen")
    assert names_then(said("vllm", "mine"), names, told, later) == Names("vllm", "cloud", "mine")
    same = providers(Provider(id="vllm", name="vllm", default_model="mine", served_by="me"))
    assert names_then(said("vllm"), names, told, same) == names
