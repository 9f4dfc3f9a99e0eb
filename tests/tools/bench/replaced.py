"""The system that meterd replaces, in small: an ORM session, and one commit for each call.

In-process and without a network, as it was. Each call asks for its price and its subscription,
adds a row to the log, reads the summary of the period and updates it, and looks at the limits
and at the alerts that were raised. The database is SQLite as meterd's: WAL, synchronous=FULL.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import uuid
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.tools.bench.calls import MODELS, call

# Loaded by name, so that types can be checked if the extra `bench` is not installed.
sa: Any = import_module("sqlalchemy")
orm: Any = import_module("sqlalchemy.orm")

PRICE = 0.000_001
CALLS_MAX = 1000
THRESHOLDS = (80, 90, 100)
mapper: Any = orm.registry()


class Record:
    """A row of any of the tables."""

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)


class Price(Record):
    """What a model costs."""


class Subscription(Record):
    """Of one user."""


class Usage(Record):
    """One call."""


class Summary(Record):
    """What a user's period counted."""


class Alert(Record):
    """A threshold that was crossed."""


def _table(kind: type, name: str, *columns: Any) -> None:
    key = sa.Column("id", sa.Integer, primary_key=True)
    mapper.map_imperatively(kind, sa.Table(name, mapper.metadata, key, *columns))


def _texts(*names: str) -> list[Any]:
    return [sa.Column(name, sa.String, index=name in {"user_id", "event_id"}) for name in names]


def _numbers(*names: str) -> list[Any]:
    return [sa.Column(name, sa.Float, default=0) for name in names]


COUNTERS = [f"{provider}_{unit}" for provider, _ in MODELS for unit in ("calls", "tokens", "cost")]
TOTALS = ("total_calls", "total_tokens", "total_cost", "response_time", "errors")
_table(Price, "pricing", *_texts("provider", "model"), *_numbers("input", "output"))
_table(Subscription, "subscriptions", *_texts("user_id", "plan", "period"), *_numbers("calls_max"))
_table(
    Usage,
    "usage_logs",
    *_texts("event_id", "user_id", "provider", "model", "endpoint", "billing_period"),
    *_numbers("tokens_input", "tokens_output", "cost", "response_time", "status_code"),
    sa.Column("timestamp", sa.DateTime),
)
_table(
    Summary,
    "summaries",
    *_texts("user_id", "billing_period", "status"),
    *_numbers(*TOTALS, *COUNTERS),
)
_table(Alert, "alerts", *_texts("user_id", "billing_period"), *_numbers("threshold"))


def _first(session: Any, kind: type[Record], **by: Any) -> Any:
    return session.scalars(sa.select(kind).filter_by(**by)).first()


def track(session: Any, user: str, body: dict[str, Any]) -> float:
    """Count one call; return its cost."""
    provider, model = body["provider"], body["model_used"]
    price = _first(session, Price, provider=provider, model=model)
    cost = float(body["tokens_input"] * price.input + body["tokens_output"] * price.output)
    subscription = _first(session, Subscription, user_id=user)
    period = subscription.period
    names = ("endpoint", "tokens_input", "tokens_output", "response_time", "status_code")
    session.add(
        Usage(
            event_id=uuid.uuid4().hex,
            user_id=user,
            provider=provider,
            model=model,
            billing_period=period,
            cost=cost,
            timestamp=datetime.now(UTC),
            **{name: body[name] for name in names},
        )
    )
    summary: Any = _first(session, Summary, user_id=user, billing_period=period)
    if summary is None:
        zeros = dict.fromkeys((*TOTALS, *COUNTERS), 0)
        summary = Summary(user_id=user, billing_period=period, status="active", **zeros)
        session.add(summary)
    tokens = body["tokens_input"] + body["tokens_output"]
    for unit, amount in (("calls", 1), ("tokens", tokens), ("cost", cost)):
        for name in (f"{provider}_{unit}", f"total_{unit}"):
            setattr(summary, name, getattr(summary, name) + amount)
    summary.response_time += body["response_time"]
    share = summary.total_calls * 100 / subscription.calls_max
    summary.status = "limit_reached" if share >= 100 else "warning" if share >= 80 else "active"
    for threshold in THRESHOLDS:
        by = {"user_id": user, "billing_period": period, "threshold": threshold}
        if share >= threshold and _first(session, Alert, **by) is None:
            session.add(Alert(**by))
    session.commit()
    return cost


def engine_of(path: Path) -> Any:
    """A database with prices."""
    engine = sa.create_engine(f"sqlite:///{path}")

    def configure(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    sa.event.listen(engine, "connect", configure)
    mapper.metadata.create_all(engine)
    return engine


def main() -> None:
    """Call after call for some seconds; print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--users", type=int, default=1000)
    options = parser.parse_args()
    rng, count = random.Random(1), 0
    bodies = [call(rng) for _ in range(256)]
    with orm.Session(engine_of(options.path)) as session:
        if session.scalars(sa.select(Price)).first() is None:
            session.add_all(
                [Price(provider=p, model=m, input=PRICE, output=PRICE) for p, m in MODELS]
            )
            session.add_all(
                Subscription(user_id=f"t{n}", plan="Pro", period="2026-01", calls_max=CALLS_MAX)
                for n in range(options.users)
            )
            session.commit()
        start = time.perf_counter()
        while (spent := time.perf_counter() - start) < options.seconds:
            track(session, f"t{rng.randrange(options.users)}", rng.choice(bodies))
            count += 1
        logged = session.scalar(sa.select(sa.func.count()).select_from(Usage))
    if logged < count:
        raise SystemExit(f"{logged} of {count} calls are in the log")
    print(json.dumps({"rate": count / spent}))


if __name__ == "__main__":
    main()
