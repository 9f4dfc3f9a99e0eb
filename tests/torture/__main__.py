"""Do everything to the real parts that can happen to them: `make torture`.

Service processes, nats-server and SQLite files are real. Clients keep a book of what they were
told, and after each round the log, the answers and `meterd verify` are held against it. One
table, and one file of JSON in ``.torture/``. Exit code 1: something did not hold, and its files
are left there. What this machine does not let happen is "not run".
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Final

from tests.support.service import ROOT
from tests.tools.bench.__main__ import machine
from tests.torture.cases import CASES, KILLS, run_case
from tests.torture.disks import NotRunError
from tests.torture.report import record, table
from tests.torture.rounds import Result
from tests.torture.shim import NoCompilerError

OUT: Final = ROOT / ".torture"


def main() -> None:
    """Parse, run, print the table, write the record."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--kills", type=int, default=KILLS, help="in all, at the least")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first round")
    parser.add_argument("--times", type=int, help="of each fault, instead of its own number")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    started = time.strftime("%Y%m%d-%H%M%S")
    failed: dict[str, str] = {}
    work = OUT / f"run-{started}"
    OUT.mkdir(exist_ok=True)
    results: list[Result] = []
    path = OUT / f"torture-{started}.json"
    for name in given.only:
        results.append(_run(name, work, given, failed))
        whole = {"started": started, "seed": given.seed, "machine": machine(), "failed": failed}
        # After each, since a run takes an hour and may be ended before.
        path.write_text(json.dumps(whole | {"faults": record(results)}, indent=1))
    print(f"\n{table(results)}\n")
    print(f"seed {given.seed}; {sum(result.seconds for result in results):.0f} s in all")
    print(path.relative_to(ROOT))
    if not failed:
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(bool(failed))


def _run(name: str, work: Path, given: Any, failed: dict[str, str]) -> Result:
    case = CASES[name]
    times = given.times or case.times
    if case.scaled and not given.times:
        times = -(-case.times * given.kills // KILLS)
    print(f"-- {name}: {case.what}", flush=True)
    began = time.perf_counter()
    so_far = Result(name)

    def say(whole: Result) -> None:
        so_far.__dict__.update(whole.__dict__)
        print(f"   {whole.times}/{times}, {time.perf_counter() - began:.0f} s", flush=True)

    try:
        run_case(case, name, work, given.seed, times, say)
    except (NoCompilerError, NotRunError) as error:
        so_far.verdict = "not run"
        print(f"   not run: {error}", flush=True)
    except Exception:  # noqa: BLE001 -- whatever it is, the others are run too
        failed[name] = traceback.format_exc()
        so_far.verdict = "FAILED"
        print(failed[name], file=sys.stderr, flush=True)
        kept = f"; its files are in {_shown(work / name)}" if (work / name).exists() else ""
        print(f"   FAILED{kept}", flush=True)
    so_far.seconds = time.perf_counter() - began
    return so_far


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT)


if __name__ == "__main__":
    main()
