"""The options of what a call counts and how it is priced, which several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Annotated, Any, Final, get_args

import typer

from actors.cli.options import pairs_of
from messages.dimensions import COUNT_FIELDS, PART_NAMES
from messages.scalars import TokenCounting as CountingText

PART: Final = "--token-part"


def counting(text: str) -> str:
    """Whether the counts of the cache are inside of the input."""
    if text not in get_args(CountingText):
        known = ", ".join(get_args(CountingText))
        raise typer.BadParameter(f"{text!r} is no way to count: one of {known}")
    return text


TokenParts = Annotated[
    list[str] | None,
    typer.Option(
        PART,
        metavar="PART=COUNT",
        help=f"Of the tokens, these are of one part: {', '.join(PART_NAMES)}. May be given again.",
    ),
]
TokenCounting = Annotated[
    str | None,
    typer.Option(
        "--token-counting",
        parser=counting,
        metavar="inclusive|exclusive",
        help="exclusive: the counts of the cache come beside the input; else as the provider has.",
        show_default=False,
    ),
]
PriceVariant = Annotated[
    str | None,
    typer.Option("--price-variant", help="Such as batch, flex or priority.", show_default=False),
]
PriceFactors = Annotated[
    list[str] | None,
    typer.Option(
        "--price-factor",
        metavar="NAME",
        help="A multiplier of the price. May be given again, for four at most.",
    ),
]

OPTIONS: Final[dict[str, Any]] = {
    **dict.fromkeys(COUNT_FIELDS, int | None),
    "token_parts": TokenParts,
    "token_counting": TokenCounting,
    "price_variant": PriceVariant,
    "price_factors": PriceFactors,
}
"""By the fields of a request, in the order of the help."""


def with_charge(before: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each of `OPTIONS`, in place of its ``**charge``.

    The command gets as ``charge`` those that were given, as the fields of a request.

    Args:
        before: the parameter that follows them in the help.
    """

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        parameters = list(signature.parameters.values())[:-1]
        place = [parameter.name for parameter in parameters].index(before)
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters[place:place] = [
            inspect.Parameter(field, kind, default=None, annotation=annotation)
            for field, annotation in OPTIONS.items()
        ]

        @wraps(command)
        def with_fields(**given: Any) -> None:
            charge = {name: given.pop(name) for name in OPTIONS}
            charge["token_parts"] = parts_of(charge["token_parts"] or ()) or None
            charge["price_factors"] = charge["price_factors"] or None
            said = {name: value for name, value in charge.items() if value is not None}
            command(**given, **said)

        found: Any = with_fields
        found.__signature__ = signature.replace(parameters=parameters)
        return with_fields

    return with_options


def parts_of(given: Iterable[str]) -> dict[str, int]:
    """Options ``part=count`` as one object."""
    found = pairs_of(given, PART)
    for part, count in found.items():
        if part not in PART_NAMES:
            known = ", ".join(PART_NAMES)
            raise typer.BadParameter(
                f"{part!r} is no part of tokens: one of {known}", param_hint=PART
            )
        if not (count.isascii() and count.isdigit()) or len(count) > 10:
            raise typer.BadParameter(
                f"{count!r} is no count of tokens: a whole number", param_hint=PART
            )
    return {part: int(count) for part, count in found.items()}
