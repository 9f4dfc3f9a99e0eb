"""All verbs of the command line: the group of the help, where each is, and an example of it.

Nothing but text, so that the help is there without the extra ``cli`` too.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SERVICE: Final = "The service"
CALLS: Final = "Calls of a user"
ADMISSION: Final = "Before a call"
REPORTS: Final = "What a user has used"
PLANS: Final = "Plans of a user"
CATALOG: Final = "Plans, prices, providers, units and users"
FILES: Final = "Files of usage"
HEALTH: Final = "Health"
DATA: Final = "Care of the data"


class Place(NamedTuple):
    """Where a verb is: the module beside this one, and the function there, or its own `Typer`.

    Attributes:
        module: in this folder.
        name: of the function or `Typer`.
        group: under which the help has it.
        example: a line of the shell.
    """

    module: str
    name: str
    group: str
    example: str


# In the order of the help.
VERBS: Final = {
    "status": Place("status", "status", HEALTH, "meterd status"),
    "doctor": Place("doctor", "doctor", HEALTH, "meterd doctor --data-dir data"),
    "track": Place(
        "commands",
        "track",
        CALLS,
        "meterd track alice --provider openai --tokens-input 374 --tokens-output 44",
    ),
    "batch": Place("admission", "batch", CALLS, "meterd batch alice calls.jsonl"),
    "enforce": Place(
        "commands",
        "enforce",
        ADMISSION,
        "meterd enforce alice --provider openai --tokens-requested 1200",
    ),
    "preflight": Place(
        "admission", "preflight", ADMISSION, "meterd preflight alice operations.json --hold"
    ),
    "hold": Place(
        "admission",
        "hold",
        ADMISSION,
        "meterd hold alice --provider openai --tokens-requested 1200 --ttl 60",
    ),
    "extend": Place("admission", "extend", ADMISSION, "meterd extend alice HOLD --ttl 300"),
    "release": Place("admission", "release", ADMISSION, "meterd release alice HOLD"),
    "holds": Place("admission", "holds", ADMISSION, "meterd holds alice"),
    "stats": Place("commands", "stats", REPORTS, "meterd stats alice --period 2026-03"),
    "logs": Place("commands", "logs", REPORTS, "meterd logs alice --provider openai --limit 5"),
    "trends": Place("accounts", "trends", REPORTS, "meterd trends alice --months 12"),
    "alerts": Place("accounts", "alerts", REPORTS, "meterd alerts alice --unread"),
    "ack": Place("accounts", "ack", REPORTS, "meterd ack alice"),
    "dashboard": Place("accounts", "dashboard", REPORTS, "meterd dashboard alice"),
    "subscribe": Place(
        "accounts",
        "subscribe",
        PLANS,
        "meterd subscribe alice --plan Pro --override openai_calls=500",
    ),
    "subscription": Place("accounts", "subscription", PLANS, "meterd subscription alice"),
    "cancel": Place("accounts", "cancel", PLANS, "meterd cancel alice"),
    "suspend": Place(
        "accounts", "suspend", PLANS, 'meterd suspend alice --reason "not paid" --yes'
    ),
    "resume": Place("accounts", "resume", PLANS, "meterd resume alice"),
    "reset": Place("commands", "reset", PLANS, "meterd reset alice --reason renewal --yes"),
    "import": Place(
        "importing", "import_file", FILES, "meterd import usage.csv --usual-names --dry-run"
    ),
    "export": Place("exporting", "app", FILES, "meterd export invoice alice --period 2026-03"),
    "plans": Place("catalogue", "plans", CATALOG, "meterd plans list"),
    "providers": Place("catalogue", "providers", CATALOG, "meterd providers list"),
    "units": Place("units", "app", CATALOG, "meterd units put gpu_seconds --scale 3"),
    "users": Place("catalogue", "users", CATALOG, "meterd users --sort cost --limit 10"),
    "estimate": Place(
        "catalogue",
        "estimate",
        CATALOG,
        "meterd estimate --provider openai --tokens-input 1200 --tokens-output 300",
    ),
    "prices": Place("prices", "app", CATALOG, "meterd prices import --file prices.json --dry-run"),
    "verify": Place("verify", "verify", DATA, "meterd verify --data-dir data"),
    "backup": Place("care", "backup", DATA, "meterd backup /backups/2026-11-26.db"),
    "restore": Place(
        "care", "restore", DATA, "meterd restore /backups/2026-11-26.db --data-dir new --yes"
    ),
    "mend": Place(
        "mend",
        "mend",
        DATA,
        "meterd mend --backup /backups/2026-11-26.db --data-dir data --dry-run",
    ),
    "snapshot": Place("care", "snapshot", DATA, "meterd snapshot"),
    "archive": Place("care", "archive", DATA, "meterd archive --before 2026-09-01 --yes"),
    "checkpoint": Place(
        "evidence", "checkpoint", DATA, "meterd checkpoint --key audit.nk > checkpoint.json"
    ),
    "rebuild": Place("verify", "rebuild", DATA, "meterd rebuild alice --yes"),
    "forget": Place("evidence", "forget", DATA, "meterd forget alice --yes"),
}
