"""Providers that are listed: contract, section 5. Pure."""

from __future__ import annotations

from actors.billing.catalog.catalog import Catalog
from messages.catalog import ProviderEntry, ProvidersReply


def providers(catalog: Catalog) -> ProvidersReply:
    """All providers."""
    return ProvidersReply(
        providers=tuple(
            ProviderEntry(
                name=provider.name,
                kind=provider.kind,
                default_model=provider.default_model,
                aliases=provider.aliases,
            )
            for provider in catalog.providers.all
        ),
        version=catalog.version,
        seq=catalog.seq,
    )
