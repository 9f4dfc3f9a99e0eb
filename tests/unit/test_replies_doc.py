"""docs/replies.md and the public functions say the same; none of them needs a package of others."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from messages.client import replies
from tests.support.sources import ROOT, imports, read_modules

PAGE = (ROOT / "docs" / "replies.md").read_text()


def test_the_page_has_each_function_once_and_no_other() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(set(replies.__all__) - {"ReplyFields"})


def test_each_function_says_what_it_takes_and_what_it_raises() -> None:
    for name in replies.__all__:
        text = getattr(replies, name).__doc__ or ""
        assert name == "ReplyFields" or re.search(r"Raises:|[Ee]rrors: as", text), name


def test_the_mappings_import_nothing_but_the_contract() -> None:
    modules = [m for m in read_modules(ROOT) if m.under("messages/client/replies")]
    outside = {name.partition(".")[0] for module in modules for name in imports(module)}
    assert outside <= {"messages", *sys.stdlib_module_names}


def test_to_import_the_mappings_brings_no_package_of_others_along(tmp_path: Path) -> None:
    others = ("openai", "anthropic", "google", "langchain_core", "litellm", "pydantic", "nats")
    code = f"""
import sys
import meterd.client.replies
print([name for name in {others} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
