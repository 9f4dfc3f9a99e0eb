"""Names that frameworks have for providers, as ids of providers; price lists use the same ids."""

from __future__ import annotations

from typing import Final

from ...errors import InvalidRequest

_IDS: Final = {
    # OpenTelemetry, gen_ai.provider.name and gen_ai.system
    "aws.bedrock": "bedrock",
    "az.ai.inference": "azure_ai",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure_ai",
    "azure.ai.openai": "azure",
    "gcp.gemini": "gemini",
    "gcp.gen_ai": "gemini",
    "gcp.vertex_ai": "vertex_ai",
    "ibm.watsonx.ai": "watsonx",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshot",
    "x_ai": "xai",
    # LangChain, model_provider
    "azure-openai": "azure",
    "bedrock_converse": "bedrock",
    "google_anthropic_vertex": "vertex_ai",
    "google-genai": "gemini",
    "google_genai": "gemini",
    "google_vertexai": "vertex_ai",
    "mistralai": "mistral",
    # LiteLLM, custom_llm_provider
    "text-completion-openai": "openai",
    "vertex_ai_beta": "vertex_ai",
}


def provider_of(given: str | None, said: str | None) -> str:
    """The id of a provider: the caller's, else of the name that the reply says.

    Raises:
        InvalidRequest: neither says one.
    """
    if given is not None:
        return given
    if said is None:
        raise InvalidRequest("the reply names no provider: give one", "provider")
    name = said.lower()
    return _IDS.get(name, name)
