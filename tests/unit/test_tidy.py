"""The rules of the house that a machine can see, each shown to bite."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

import pytest

import actors
import messages
import persistence
from tests.support.sources import ROOMS, ROOT, Module, imports, read_modules

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

# Which rooms each room may import: the one-way rule.
MAY_IMPORT = {
    "messages": {"messages"},
    "persistence": {"persistence", "messages"},
    "actors": {"actors", "persistence", "messages"},
    "tests": set(ROOMS),
}
# A caller needs nothing else, so the contract stays small.
MESSAGES_NEED = {"msgspec"}
# Its program starts the service, if that is installed.
OTHERS_NEED = {"transport.py": {"msgspec", "nats"}, "__main__.py": {"meterd_server"}}
# What of the standard library would make a rule depend on more than its arguments.
IMPURE = {
    *("asyncio", "concurrent", "io", "logging", "multiprocessing", "os", "pathlib", "random"),
    *("secrets", "select", "shutil", "signal", "socket", "sqlite3", "subprocess", "tempfile"),
    *("threading", "time", "uuid"),
}
CLOCK_READS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
CLOCK_READERS = (
    *("actors/clock.py", "messages/client/transport.py"),
    *("actors/cli/importer", "actors/cli/importing.py", "actors/cli/prices.py", "tests"),
    "actors/cli/examining.py",  # compares it with the service's
)
LEFT_OVER = re.compile(r"\b(?:TODO|FIXME|XXX)\b")
# The command line, and the process that says it is ready or why it cannot be.
PRINTERS = ("actors/cli", "actors/__main__.py", "actors/process.py", "tests")


def circle_of(modules: list[Module]) -> list[str]:
    """Modules that import each other in a circle, type-checking blocks too; empty without one."""
    names = {".".join(m.path.with_suffix("").parts).removesuffix(".__init__"): m for m in modules}
    needs = {
        name: {
            found
            for full in imports(module)
            if (found := full if full in names else full.rpartition(".")[0]) in names
        }
        for name, module in names.items()
    }
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def top(name: str) -> str:
    return name.partition(".")[0]


def imports_against_the_one_way_rule(module: Module) -> Iterator[str]:
    for name in imports(module):
        if top(name) in ROOMS and top(name) not in MAY_IMPORT[module.room]:
            yield f"imports {name}"


def messages_that_need_more_than_a_caller_has(module: Module) -> Iterator[str]:
    if module.room != "messages":
        return
    needs = OTHERS_NEED.get(module.path.name, MESSAGES_NEED)
    for name in imports(module):
        if top(name) not in needs | {"messages"} | set(sys.stdlib_module_names):
            yield f"imports {name}"


def messages_by_a_name_that_callers_do_not_have(module: Module) -> Iterator[str]:
    if module.room != "messages":
        return
    for node in module.nodes:
        if (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and top(node.module or "") == "messages"
        ):
            yield f"line {node.lineno}: from {node.module}"
        elif isinstance(node, ast.Import) and any(top(a.name) == "messages" for a in node.names):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def impure_billing_rules(module: Module) -> Iterator[str]:
    if not module.under("actors/billing"):
        return
    pure = set(sys.stdlib_module_names) - IMPURE | {"msgspec", "messages"}
    for name in imports(module):
        ours = name.startswith("actors.billing")
        if not ours and (top(name) not in pure or name.startswith("messages.client")):
            yield f"imports {name}"
    for node in module.nodes:
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            yield f"line {node.lineno}: is asynchronous"
        if isinstance(node, ast.Call) and called(node)[-1] == "open":
            yield f"line {node.lineno}: opens a file"


def a_runtime_that_knows_billing(module: Module) -> Iterator[str]:
    if module.under("actors/runtime"):
        for name in imports(module):
            if name.startswith(("actors.billing", "actors.user.ledger", "actors.user.actor")):
                yield f"imports {name}"


def modules_that_are_too_long(module: Module) -> Iterator[str]:
    if (lines := len(module.text.splitlines())) > MODULE_LINES_MAX:
        yield f"has {lines} lines"


def functions_that_are_too_long(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"line {node.lineno}: {node.name} has {lines} lines"


def reads_of_the_clock(module: Module) -> Iterator[str]:
    if module.under(*CLOCK_READERS):
        return
    for name in imports(module):
        if name.partition(".")[2] in CLOCK_READS["time"] and top(name) == "time":
            yield f"imports {name}"
    for node in module.nodes:
        # A reference counts like a call: the function could be passed on.
        if isinstance(node, ast.Attribute):
            *_, owner = dotted(node.value)
            if node.attr in CLOCK_READS.get(owner, ()):
                yield f"line {node.lineno}: {owner}.{node.attr}"


def swallowed_errors(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                yield f"line {node.lineno}: a bare except"
            elif catches_all(node.type) and all(map(does_nothing, node.body)):
                yield f"line {node.lineno}: {ast.unparse(node.type)} is passed over"
        elif isinstance(node, ast.Call) and called(node)[-1] == "suppress":
            yield from (f"line {node.lineno}: suppresses all" for a in node.args if catches_all(a))


def prints(module: Module) -> Iterator[str]:
    if module.under(*PRINTERS):
        return
    for node in module.nodes:
        if isinstance(node, ast.Call) and called(node) == ["print"]:
            yield f"line {node.lineno}: prints"


def unfinished_work(module: Module) -> Iterator[str]:
    if module.under("tests/unit/test_tidy.py"):  # it has to name what it looks for
        return
    for number, line in enumerate(module.text.splitlines(), 1):
        if LEFT_OVER.search(line):
            yield f"line {number}: {line.strip()}"
    for node in module.nodes:
        if isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node):
            yield f"line {node.lineno}: is not implemented"


def sleeping_tests(module: Module) -> Iterator[str]:
    if module.room != "tests":
        return
    for node in module.nodes:
        # Zero waits for no time: it lets other tasks run.
        if isinstance(node, ast.Call) and called(node)[-1] == "sleep" and node.args:
            seconds = node.args[0]
            if isinstance(seconds, ast.Constant) and seconds.value:
                yield f"line {node.lineno}: sleeps {seconds.value!r} s"


def dotted(node: ast.AST) -> list[str]:
    """``a.b.c`` as its names; what is no plain name is an empty one."""
    if isinstance(node, ast.Attribute):
        return [*dotted(node.value), node.attr]
    return [node.id if isinstance(node, ast.Name) else ""]


def called(node: ast.Call) -> list[str]:
    return dotted(node.func)


def catches_all(node: ast.expr) -> bool:
    names = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(dotted(name)[-1] in {"Exception", "BaseException"} for name in names)


def does_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Pass | ast.Continue)


Rule = Callable[[Module], Iterator[str]]

LONG = "\n".join(f"x{n} = {n}" for n in range(MODULE_LINES_MAX + 1))
LONG_FUNCTION = "def f():\n" + "    pass\n" * FUNCTION_LINES_MAX

# Each rule with breaches that it has to find: where they stand and what they are.
BREACHES: list[tuple[Rule, str, str]] = [
    (imports_against_the_one_way_rule, "messages/a.py", "import persistence.journal"),
    (imports_against_the_one_way_rule, "messages/a.py", "def f():\n    from actors import app"),
    (
        imports_against_the_one_way_rule,
        "persistence/a.py",
        "from actors.settings.config import Config",
    ),
    (imports_against_the_one_way_rule, "persistence/sql/a.py", "from tests import support"),
    (imports_against_the_one_way_rule, "actors/edge/a.py", "import tests.support.raw"),
    (messages_that_need_more_than_a_caller_has, "messages/a.py", "import nats"),
    (messages_that_need_more_than_a_caller_has, "messages/client/transport.py", "import structlog"),
    (messages_by_a_name_that_callers_do_not_have, "messages/a.py", "from messages import codec"),
    (messages_by_a_name_that_callers_do_not_have, "messages/client/a.py", "import messages.codec"),
    (impure_billing_rules, "actors/billing/a.py", "import asyncio"),
    (impure_billing_rules, "actors/billing/a.py", "from time import struct_time"),
    (impure_billing_rules, "actors/billing/a.py", "import structlog"),
    (impure_billing_rules, "actors/billing/a.py", "from random import random"),
    (impure_billing_rules, "actors/billing/a.py", "from persistence.journal import Row"),
    (impure_billing_rules, "actors/billing/a.py", "from messages.client.client import X"),
    (impure_billing_rules, "actors/billing/a.py", "from actors import config"),
    (impure_billing_rules, "actors/billing/a.py", "from .. import clock"),
    (impure_billing_rules, "actors/billing/a.py", "async def f():\n    ..."),
    (impure_billing_rules, "actors/billing/a.py", "x = open('plans.json')"),
    (a_runtime_that_knows_billing, "actors/runtime/a.py", "from actors.billing import state"),
    (a_runtime_that_knows_billing, "actors/runtime/a.py", "from ..billing.state import State"),
    (modules_that_are_too_long, "actors/a.py", LONG),
    (functions_that_are_too_long, "tests/unit/test_a.py", LONG_FUNCTION),
    (functions_that_are_too_long, "actors/a.py", f"async {LONG_FUNCTION}"),
    (reads_of_the_clock, "actors/a.py", "import time\nx = time.time()"),
    (reads_of_the_clock, "actors/a.py", "import time\nx = time.monotonic"),
    (reads_of_the_clock, "persistence/a.py", "from time import monotonic"),
    (reads_of_the_clock, "messages/a.py", "x = datetime.now(UTC)"),
    (reads_of_the_clock, "actors/billing/a.py", "x = datetime.datetime.utcnow()"),
    (swallowed_errors, "actors/a.py", "try:\n    x\nexcept:\n    raise"),
    (swallowed_errors, "tests/a.py", "try:\n    x\nexcept Exception:\n    pass"),
    (swallowed_errors, "actors/a.py", "try:\n    x\nexcept (OSError, Exception):\n    ..."),
    (swallowed_errors, "actors/a.py", "with contextlib.suppress(BaseException):\n    x"),
    (prints, "actors/edge/a.py", "print(ready_line())"),
    (prints, "actors/app.py", "print('here')"),
    (unfinished_work, "actors/a.py", "x = 1  # TODO: more"),
    (unfinished_work, "messages/a.py", "def f():\n    '''FIXME'''"),
    (unfinished_work, "tests/a.py", "def f():\n    raise NotImplementedError"),
    (sleeping_tests, "tests/unit/test_a.py", "async def f():\n    await asyncio.sleep(0.1)"),
    (sleeping_tests, "tests/support/a.py", "from time import sleep\nsleep(1)"),
]
RULES = list(dict.fromkeys(rule for rule, _, _ in BREACHES))


@pytest.fixture(scope="module")
def breaches() -> dict[Rule, list[str]]:
    """What each rule finds in the tree, of which each module is parsed once for all rules."""
    found: dict[Rule, list[str]] = {rule: [] for rule in RULES}
    modules = read_modules(ROOT)
    assert {module.room for module in modules} == set(ROOMS)
    for module in modules:
        for rule in RULES:
            found[rule] += (f"{module.path}: {breach}" for breach in rule(module))
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_has_no(rule: Rule, breaches: dict[Rule, list[str]]) -> None:
    assert breaches[rule] == []


@pytest.mark.parametrize(("rule", "path", "text"), BREACHES)
def test_a_planted_breach_is_found(tmp_path: Path, rule: Rule, path: str, text: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    (module,) = read_modules(tmp_path)
    assert list(rule(module))


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle_of(read_modules(ROOT)) == []


def test_a_planted_circle_is_found() -> None:
    texts = {
        "actors/a.py": "from actors.b import B",
        "actors/b.py": "def f():\n    from actors.c import C",
        "actors/c.py": "if TYPE_CHECKING:\n    from actors import a",
        "actors/d.py": "from actors.a import A",
    }
    modules = [Module(PurePosixPath(path), text) for path, text in texts.items()]
    assert set(circle_of(modules)) == {"actors.a", "actors.b", "actors.c"}
    assert circle_of(modules[:2]) == []


def test_no_rule_is_against_code_as_it_should_be(tmp_path: Path) -> None:
    fine = {
        "actors/billing/a.py": "from actors.billing.state.apply import x\nfrom math import ceil",
        "actors/clock.py": "import time\nx = time.time()",
        "actors/cli/a.py": "print('a table')",
        "actors/process.py": "print(json.dumps(ready), flush=True)",
        "messages/client/transport.py": "import nats\nfrom .. import codec",
        "tests/unit/test_a.py": "async def f():\n    await asyncio.sleep(0)",
        "actors/a.py": "try:\n    x\nexcept Exception:\n    raise SystemExit(1)",
    }
    for path, text in fine.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    breaches = [b for m in read_modules(tmp_path) for rule in RULES for b in rule(m)]
    assert breaches == []


def test_the_three_packages_come_from_one_root() -> None:
    # Their names are common: another distribution's package of that name may come first.
    roots = {Path(str(package.__file__)).parents[1] for package in (actors, messages, persistence)}
    assert roots == {ROOT}
