"""The catalogue on the wire: what may be asked of plans, prices, providers and users, and answers.

Amounts of money arrive as the text of a JSON number, as in `commands`, and leave as decimals.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, Literal

from msgspec import Meta, Raw, Struct

from .admission import Number
from .quantities import PARTS_MAX, SCALE_MAX
from .scalars import (
    Identifier,
    Key,
    Moment,
    PeriodKey,
    Text,
    Version,
)

Cursor = Annotated[str, Meta(max_length=512)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
ShortText = Annotated[str, Meta(min_length=1, max_length=64)]
Globs = Annotated[list[Annotated[str, Meta(min_length=1, max_length=128)]], Meta(max_length=32)]


class PlansList(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All plans."""

    cursor: Cursor | None = None
    deadline: Moment | None = None


class PlansPut(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new plan, or a new version of one; for subscribers from their next period on."""

    name: Name
    tier: Name
    price_monthly: Raw
    price_yearly: Raw
    limits: dict[Text, Raw]
    features: Annotated[list[Text], Meta(max_length=100)]
    event_id: Key | None = None
    deadline: Moment | None = None


class ProvidersList(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All providers, or as many as fit."""

    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    cursor: Cursor | None = None
    deadline: Moment | None = None


class Detect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who serves a call whose model, or else endpoint, matches one of these globs."""

    actual: ShortText
    model: Globs = []
    endpoint: Globs = []


class ProvidersPut(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider, whole: what is left out, or null, is as for a new one.

    Of what `ProviderEntry` shows beside, ``builtin``, ``archived``, ``registered`` and
    ``version`` are not looked at, so that what was listed can be put.
    """

    id: Text
    name: Name | None = None
    kind: Annotated[str, Meta(min_length=1, max_length=32)] | None = None
    default_model: Name | None = None
    aliases: Annotated[list[ShortText], Meta(max_length=16)] | None = None
    served_by: ShortText | None = None
    detect: Annotated[list[Detect], Meta(max_length=32)] | None = None
    groups: Annotated[list[Text], Meta(max_length=16)] | None = None
    unpriced: Literal["estimate", "refuse", "zero"] | None = None
    token_counting: Literal["inclusive", "exclusive"] | None = None
    builtin: bool | None = None
    archived: bool | None = None
    registered: bool | None = None
    version: Version | None = None
    event_id: Key | None = None
    deadline: Moment | None = None


class ProvidersArchive(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider is refused where calls are admitted."""

    id: Text
    event_id: Key | None = None
    deadline: Moment | None = None


class UnitsList(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All units."""

    deadline: Moment | None = None


class UnitsPut(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A unit of one's own, or another name or bound of one; a scale never changes."""

    id: Identifier
    name: Name | None = None
    scale: Annotated[int, Meta(ge=0, le=SCALE_MAX)] | None = None
    max_per_call: Annotated[int, Meta(ge=1, le=PARTS_MAX)] | None = None
    event_id: Key | None = None
    deadline: Moment | None = None


class UnitsArchive(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No call may use the unit any more, until it is put again."""

    id: Identifier
    event_id: Key | None = None
    deadline: Moment | None = None


class UsersList(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of users with what a period of theirs counts.

    They are in the order of their ids, or from the greatest down by what ``sort`` names.
    """

    billing_period: PeriodKey | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    cursor: Cursor | None = None
    prefix: Text | None = None
    sort: Literal["id", "cost", "tokens", "calls", "last_updated"] | None = None
    deadline: Moment | None = None


CATALOG_USER: Final = ""
"""Whose rows of the log are the catalogue's: no user has this id."""


class PlanEntry(Struct, kw_only=True):
    """A plan; prices in USD."""

    name: str
    tier: str
    price_monthly: Decimal
    price_yearly: Decimal
    limits: dict[str, Number]
    features: tuple[str, ...]
    version: int


class PlansReply(Struct, kw_only=True):
    """All plans, or a page; ``version`` is that of the newest change of the catalogue."""

    plans: tuple[PlanEntry, ...]
    next_cursor: str | None
    version: int
    seq: int


class PlanPutReply(Struct, kw_only=True):
    """The plan as it is from now on."""

    plan: PlanEntry
    version: int
    event_id: str
    duplicate: bool = False
    seq: int


class ProviderEntry(Struct, kw_only=True):
    """A provider; ``aliases`` are accepted for its id."""

    id: str
    name: str
    kind: str
    default_model: str
    aliases: tuple[str, ...]
    served_by: str
    detect: tuple[Detect, ...]
    groups: tuple[str, ...]
    unpriced: str
    token_counting: str
    builtin: bool
    archived: bool
    registered: bool
    version: int


class ProvidersReply(Struct, kw_only=True):
    """All providers, or a page, in the order in which they came."""

    providers: tuple[ProviderEntry, ...]
    next_cursor: str | None
    version: int
    seq: int


class UnitEntry(Struct, kw_only=True):
    """A unit; ``max_per_call`` counts its smallest parts, null if it has a field of its own."""

    id: str
    name: str
    scale: int
    max_per_call: int | None
    builtin: bool
    archived: bool


class UnitsReply(Struct, kw_only=True):
    """All units, those that are built in first."""

    units: tuple[UnitEntry, ...]
    version: int
    seq: int


class UnitPutReply(Struct, kw_only=True):
    """The unit as it is from now on."""

    unit: UnitEntry
    version: int
    event_id: str
    duplicate: bool = False
    seq: int


class ProviderPutReply(Struct, kw_only=True):
    """The provider as it is from now on."""

    provider: ProviderEntry
    version: int
    event_id: str
    duplicate: bool = False
    seq: int


class ProviderArchivedReply(Struct, kw_only=True):
    """The provider is archived."""

    id: str
    archived: bool
    version: int
    event_id: str
    duplicate: bool = False
    seq: int


class UserEntry(Struct, kw_only=True):
    """A user and what a period counts since its last reset.

    All but ``user_id`` are null if the user's log cannot be read.
    """

    user_id: str
    plan: str | None = None
    billing_period: str | None = None
    total_calls: int | None = None
    total_tokens: int | None = None
    total_cost: Decimal | None = None
    usage_status: str | None = None
    last_updated: datetime | None = None


class UsersReply(Struct, kw_only=True):
    """A page of users in the order that was asked for."""

    users: tuple[UserEntry, ...]
    next_cursor: str | None
    seq: int
