"""Providers that are put, archived, registered and listed: contract 1.1, section 3. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from actors.billing.catalog.catalog import Catalog
from actors.billing.catalog.pages import ENTRIES_MAX, Page, start_of
from actors.billing.catalog.providers import BUILTIN, Provider, provider_of
from actors.billing.fingerprint import fingerprint
from messages.catalog import (
    Detect,
    ProviderArchivedReply,
    ProviderEntry,
    ProviderPutReply,
    ProvidersArchive,
    ProvidersList,
    ProvidersPut,
)
from messages.errors import InvalidRequest
from messages.globs import glob_matcher
from messages.identifiers import LIMIT_ENDS, PROVIDER_PATTERN, RESERVED, is_provider_id, is_word
from messages.refusals import clip
from messages.stored.catalog import Detection, ProviderArchived, ProviderPut

PROVIDERS_MAX: Final = 10_000
"""Providers of a catalogue, archived ones too."""
GLOBS_MAX: Final = 512
"""Globs by which one provider tells who serves a call: each call to a new model may try all."""
_FIXED: Final = ("kind", "detect", "groups")
"""What cannot be put of one of the 14."""


def put_provider(catalog: Catalog, ask: ProvidersPut) -> ProviderPut:
    """A provider as it is from now on: what is left out is as at first, not as it was.

    Raises:
        InvalidRequest: an id that no provider may have, a name that another one has, an invalid
            glob or group, another value of what is fixed for one of the 14, or one provider over
            `PROVIDERS_MAX`.
    """
    wanted = _wanted(ask)
    own = BUILTIN.get(wanted.id)
    _check_id(ask.id)
    for field in _FIXED:
        if own is not None and getattr(wanted, field) != getattr(own, field):
            raise InvalidRequest(f"{field} of {ask.id} is part of the program", field)
    for group in wanted.groups:
        if not is_word(group):
            raise InvalidRequest(f"{clip(group, 64)!r} is no name of a group", "groups")
    _check_globs(wanted.detect)
    _check_names(catalog, wanted)
    return _event(wanted, catalog.version + 1, content_of(ask))


def archive_provider(catalog: Catalog, ask: ProvidersArchive) -> ProviderArchived:
    """A provider that is refused where calls are admitted, until it is put again.

    Raises:
        RequestError: ``unknown_provider``.
    """
    if catalog.providers.of_id(ask.id) is None:
        raise catalog.providers.unknown(ask.id, "id")
    return ProviderArchived(
        id=ask.id, version=catalog.version + 1, content=content_of_archiving(ask)
    )


def registered(catalog: Catalog, names: Iterable[str]) -> list[ProviderPut]:
    """The providers that are stored because calls name them, with as many as may be.

    Names that are there, or that no provider may have, are left out: so it may be asked twice.
    """
    free = catalog.providers.left_to_register
    new = [name for name in dict.fromkeys(names) if catalog.providers.may_register(name)][:free]
    return [
        ProviderPut(id=name, version=version, registered=True)
        for version, name in enumerate(new, catalog.version + 1)
    ]


def content_of(ask: ProvidersPut) -> str:
    """The digest of a provider that is put."""
    wanted = _wanted(ask)
    parts = [
        *(wanted.id, wanted.name, wanted.kind, wanted.default_model, wanted.served_by),
        *(wanted.aliases, wanted.groups, wanted.detect, wanted.unpriced, wanted.token_counting),
    ]
    return fingerprint(ProvidersPut.__name__, parts)


def content_of_archiving(ask: ProvidersArchive) -> str:
    """The digest of a provider that is archived."""
    return fingerprint(ProvidersArchive.__name__, [ask.id])


def answered(event: ProviderPut, key: str, seq: int, *, duplicate: bool) -> ProviderPutReply:
    """The reply to a provider that was put."""
    return ProviderPutReply(
        provider=_entry(provider_of(event)),
        version=event.version,
        event_id=key,
        duplicate=duplicate,
        seq=seq,
    )


def archived(
    event: ProviderArchived, key: str, seq: int, *, duplicate: bool
) -> ProviderArchivedReply:
    """The reply to a provider that was archived."""
    return ProviderArchivedReply(
        id=event.id,
        archived=True,
        version=event.version,
        event_id=key,
        duplicate=duplicate,
        seq=seq,
    )


def providers(catalog: Catalog, ask: ProvidersList) -> Page:
    """All providers behind a cursor, in the order in which they came: the 14 first.

    Raises:
        InvalidRequest: the cursor of another list.
    """
    digest, start = start_of(ask.cursor, "providers")
    shown = catalog.providers.page(start, ask.limit or ENTRIES_MAX)
    last = start + len(shown) >= len(catalog.providers)
    entries = map(_entry, shown)
    return Page(entries, len(shown), start, last, digest, catalog.version, catalog.seq)


def _wanted(ask: ProvidersPut) -> Provider:
    """The provider that is asked for, with what is left out."""
    plain = BUILTIN.get(ask.id) or Provider(id=ask.id, name=ask.id, served_by=ask.id)
    detect, groups, aliases = plain.detect, plain.groups, plain.aliases
    try:
        if ask.detect is not None:
            detect = tuple([_detection(rule) for rule in ask.detect])
        return Provider(
            id=ask.id,
            name=ask.name or plain.name,
            kind=plain.kind if ask.kind is None else ask.kind,
            default_model=ask.default_model or plain.default_model,
            served_by=ask.served_by or plain.served_by,
            aliases=aliases if ask.aliases is None else tuple(dict.fromkeys(ask.aliases)),
            groups=groups if ask.groups is None else tuple(dict.fromkeys(ask.groups)),
            detect=detect,
            unpriced=ask.unpriced or plain.unpriced,
            token_counting=ask.token_counting or plain.token_counting,
        )
    except ValueError as error:
        raise InvalidRequest(f"detect: {error}", "detect") from None


def _detection(rule: Detect) -> Detection:
    """Who serves a call, in lower case: models and endpoints are, before they are compared."""
    model, endpoint = ([glob.lower() for glob in globs] for globs in (rule.model, rule.endpoint))
    return Detection(rule.actual, tuple(model), tuple(endpoint))


def _check_id(text: str) -> None:
    if not is_provider_id(text):
        reserved, ends = ", ".join(sorted(RESERVED)), ", ".join(LIMIT_ENDS)
        raise InvalidRequest(
            f"{clip(text, 64)!r} is no id of a provider: it has to match {PROVIDER_PATTERN}, "
            f"does not end in any of {ends}, and is none of {reserved}",
            "id",
        )


def _check_globs(detect: Sequence[Detection]) -> None:
    globs = [glob for rule in detect for glob in (*rule.model, *rule.endpoint)]
    if len(globs) > GLOBS_MAX:
        raise InvalidRequest(f"detect has over {GLOBS_MAX} globs", "detect")
    for glob in globs:
        glob_matcher(glob)


def _check_names(catalog: Catalog, wanted: Provider) -> None:
    """Every id and every alias is that of one provider."""
    known = catalog.providers
    before = known.of_id(wanted.id)
    if before is None:
        other = known.get(wanted.id)
        if other is not None:
            raise InvalidRequest(f"{wanted.id} is an alias of {other.id}", "id")
        if len(known) >= PROVIDERS_MAX:
            raise InvalidRequest(f"there are {PROVIDERS_MAX:,} providers, which is the most", "id")
    for alias in wanted.aliases:
        other = known.get(alias)
        if alias == wanted.id or (other is not None and other.id != wanted.id):
            name = wanted.id if other is None else other.id
            raise InvalidRequest(f"{clip(alias, 64)!r} is a name of {name} already", "aliases")


def _event(provider: Provider, version: int, content: str) -> ProviderPut:
    return ProviderPut(
        id=provider.id,
        version=version,
        content=content,
        name="" if provider.name == provider.id else provider.name,
        kind=provider.kind,
        default_model=provider.default_model,
        aliases=provider.aliases,
        served_by="" if provider.served_by == provider.id else provider.served_by,
        detect=provider.detect,
        groups=provider.groups,
        unpriced=provider.unpriced,
        token_counting=provider.token_counting,
    )


def _entry(provider: Provider) -> ProviderEntry:
    return ProviderEntry(
        id=provider.id,
        name=provider.name,
        kind=provider.kind,
        default_model=provider.default_model,
        aliases=provider.aliases,
        served_by=provider.served_by,
        detect=tuple(
            [
                Detect(actual=each.actual, model=[*each.model], endpoint=[*each.endpoint])
                for each in provider.detect
            ]
        ),
        groups=provider.groups,
        unpriced=provider.unpriced,
        token_counting=provider.token_counting,
        builtin=provider.builtin,
        archived=provider.archived,
        registered=provider.registered,
        version=provider.version,
    )
