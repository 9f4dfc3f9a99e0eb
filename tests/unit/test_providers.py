from __future__ import annotations

import pytest

from actors.billing.catalog.defaults import default_catalog
from actors.billing.catalog.providers import NAMES
from messages.errors import RequestError
from tests.support.meter import Meter

PROVIDERS = default_catalog().providers

# The contract, section 5 ("Providers") and section 3 ("Model").
KINDS = {
    "llm": ("gemini", "openai", "anthropic", "mistral", "wavespeed"),
    "search": ("tavily", "serper", "metaphor", "exa"),
    "crawl": ("firecrawl",),
    "media": ("stability", "video", "image_edit", "audio"),
}
DEFAULT_MODELS = {
    "gemini": "gemini-2.5-flash",
    "openai": "gpt-4o-mini",
    "anthropic": "claude-3.5-sonnet",
    "mistral": "openai/gpt-oss-120b:groq",
    "wavespeed": "openai/gpt-oss-120b",
    "tavily": "tavily-search",
    "serper": "serper-search",
    "metaphor": "metaphor-search",
    "exa": "exa-search",
    "firecrawl": "firecrawl-extract",
    "stability": "stable-diffusion",
    "image_edit": "qwen-edit",
    "video": "default",
    "audio": "default",
}
# Section 5, "Actual provider": (who serves it, the marks that say so), in order; then who else.
RULES: dict[str, list[tuple[str, list[str]]]] = {
    "video": [
        ("wavespeed", ["wan-2.5", "seedance", "infinitetalk", "wavespeed", "alibaba"]),
        ("huggingface", ["huggingface", "hf", "tencent", "hunyuan"]),
        ("google", ["veo", "gemini"]),
        ("openai", ["sora", "openai"]),
    ],
    "audio": [
        ("wavespeed", ["minimax", "speech-02", "wavespeed"]),
        ("elevenlabs", ["elevenlabs"]),
        ("openai", ["openai", "tts-1"]),
        ("google", ["google", "gemini"]),
    ],
    "stability": [
        ("wavespeed", ["qwen", "ideogram", "flux", "wavespeed"]),
        ("huggingface", ["huggingface", "hf", "runway"]),
    ],
    "image_edit": [("stability", ["stability", "stable-diffusion"])],
}
ELSE = {
    **{name: name for name in DEFAULT_MODELS},
    "gemini": "google",
    "mistral": "huggingface",
    "video": "wavespeed",
    "audio": "wavespeed",
    "image_edit": "wavespeed",
}
MARKS = [
    (provider, mark, actual)
    for provider, rows in RULES.items()
    for actual, marks in rows
    for mark in marks
]


def actual(
    provider: str, *, said: str | None = None, model: str | None = None, endpoint: str | None = None
) -> str:
    return PROVIDERS.find(provider).actual_of(said, model, endpoint)


def test_the_providers_are_those_of_the_contract() -> None:
    found = {p.id: p.kind for p in PROVIDERS.all if p.builtin}
    assert found == {name: kind for kind, names in KINDS.items() for name in names}
    assert tuple(found) == NAMES


@pytest.mark.parametrize("provider", DEFAULT_MODELS)
@pytest.mark.parametrize("model", [None, ""])
def test_an_absent_or_empty_model_is_the_providers_default(
    provider: str, model: str | None
) -> None:
    meter = Meter()
    meter.track(provider, model_used=model)
    assert meter.usage[-1].model == DEFAULT_MODELS[provider]


@pytest.mark.parametrize("provider", ELSE)
def test_a_call_was_served_by_the_default_if_nothing_says_otherwise(provider: str) -> None:
    assert actual(provider) == ELSE[provider]
    assert actual(provider, model="unheard-of", endpoint="/v1/unheard-of") == ELSE[provider]
    assert actual(provider, said="", model="", endpoint="") == ELSE[provider]


@pytest.mark.parametrize(("provider", "mark", "served_by"), MARKS)
def test_a_mark_in_the_model_or_the_endpoint_says_who_served_a_call(
    provider: str, mark: str, served_by: str
) -> None:
    text = f"x/{mark.upper()}-y"
    assert actual(provider, model=text) == served_by
    assert actual(provider, endpoint=text) == served_by
    assert actual(provider, model="unheard-of", endpoint=text) == served_by
    assert actual(provider, said="someone", model=text, endpoint=text) == "someone"


@pytest.mark.parametrize("provider", RULES)
def test_of_several_marks_the_first_row_decides(provider: str) -> None:
    rows = RULES[provider]
    for place, (served_by, marks) in enumerate(rows):
        later = [mark for _, others in rows[place + 1 :] for mark in others]
        for mark in later:
            if not any(m in mark for m in marks):
                assert actual(provider, model=f"{mark}+{marks[0]}") == served_by


@pytest.mark.parametrize("provider", RULES)
def test_the_model_is_asked_before_the_endpoint(provider: str) -> None:
    for first, mark, served_by in MARKS:
        for _, other, _ in MARKS:
            if first == provider:
                assert actual(provider, model=mark, endpoint=f"/{other}") == served_by


@pytest.mark.parametrize("provider", sorted(set(DEFAULT_MODELS) - set(RULES)))
def test_every_other_provider_is_served_by_one_whatever_the_model_is(provider: str) -> None:
    for _, mark, _ in MARKS:
        assert actual(provider, model=mark, endpoint=mark) == ELSE[provider]


def test_the_default_model_says_nothing_of_who_served_the_call() -> None:
    # stable-diffusion is stability's own default, not a mark that the caller sent.
    assert actual("image_edit") == "wavespeed"
    assert actual("image_edit", model="stable-diffusion-xl") == "stability"
    assert Meter().track("image_edit").actual_provider_name == "wavespeed"


def test_huggingface_is_accepted_for_mistral_and_replies_say_mistral() -> None:
    meter = Meter()
    tracked, decided = meter.track("huggingface"), meter.enforce("huggingface")
    assert (tracked.provider, tracked.actual_provider_name) == ("mistral", "huggingface")
    assert (decided.provider, decided.actual_provider_name) == ("mistral", "huggingface")
    assert meter.stats().provider_breakdown["mistral"].calls == 1


@pytest.mark.parametrize(("provider", "mark", "served_by"), MARKS)
def test_enforce_and_track_find_the_same_actual_provider(
    provider: str, mark: str, served_by: str
) -> None:
    meter = Meter()
    assert meter.enforce(provider, model_used=mark).actual_provider_name == served_by
    assert meter.track(provider, model_used=mark).actual_provider_name == served_by
    assert meter.enforce(provider, endpoint=mark).actual_provider_name == served_by


@pytest.mark.parametrize("name", ["", "OpenAI", " openai", "google", "default", "x" * 256])
def test_an_unknown_provider_is_refused_and_nothing_is_logged(name: str) -> None:
    meter = Meter()
    for verb in (meter.track, meter.enforce):
        with pytest.raises(RequestError) as caught:
            verb(name)
        assert (caught.value.code, caught.value.field) == ("unknown_provider", "provider")
    assert meter.log == []
