r"""Globs: contract 1.1, section 1."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.globs import GLOB_MAX, STARS_MAX, escaped, glob_matcher

GLOBS = st.lists(st.sampled_from(["a", "b", "*", "?", "\\*", "\\?", "\\\\", "\\a"]), max_size=12)
TEXTS = st.text(alphabet="ab*?\\\n", max_size=14)


@pytest.mark.parametrize(
    ("glob", "text", "expected"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o*", "gpt-4o", True),
        ("gpt-?o*", "gpt-4o-mini", True),
        ("gpt-?o*", "gpt-o-mini", False),
        ("*", "", True),
        ("?", "", False),
        ("?", "\n", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*ab*ab*", "ab", False),
        ("*ab*ab*", "xabyab", True),
        ("*ab", "abab", True),
        ("a**b", "ab", True),
        (r"\*", "*", True),
        (r"\*", "x", False),
        (r"a\?", "a?", True),
        (r"\\", "\\", True),
        (r"\x", "x", True),
        ("GPT", "gpt", False),
        ("ü*", "über", True),
        (".", "x", False),
        ("[a]", "a", False),
    ],
)
def test_a_glob_matches_the_whole_text_or_not(glob: str, text: str, expected: bool) -> None:
    assert glob_matcher(glob)(text) is expected


@given(GLOBS.filter(lambda letters: len(letters) > 0 and letters.count("*") <= STARS_MAX), TEXTS)
@settings(max_examples=1_500)
def test_a_glob_matches_what_its_regular_expression_does(letters: list[str], text: str) -> None:
    meaning = {"*": ".*", "?": "."}
    pattern = "".join(
        [meaning.get(each) or re.escape(each[1:] if each[0] == "\\" else each) for each in letters]
    )
    expected = re.fullmatch(pattern, text, re.DOTALL) is not None
    assert glob_matcher("".join(letters))(text) is expected


@given(TEXTS.filter(lambda text: 0 < len(text) < 60), TEXTS)
def test_an_escaped_text_matches_itself_alone(text: str, other: str) -> None:
    matches = glob_matcher(escaped(text))
    assert matches(text)
    assert matches(other) is (other == text)


@pytest.mark.parametrize(
    "glob", ["", "a" * (GLOB_MAX + 1), "*" * (STARS_MAX + 1), "a\\", "a\\\\\\"]
)
def test_what_is_no_glob_is_refused(glob: str) -> None:
    with pytest.raises(ValueError, match="a glob"):
        glob_matcher(glob)


@pytest.mark.parametrize(
    "glob",
    ["*" + "a*" * 7 + "b", "*" + "?a" * 50 + "b*", "a?" * 64, "*" + "a" * 120 + "b", "*?" * 8],
)
def test_a_hostile_glob_takes_no_longer_than_its_length_times_that_of_the_text(glob: str) -> None:
    matches = glob_matcher(glob)
    started = time.process_time()
    matches("a" * 100_000)
    assert time.process_time() - started < 1  # with a choice at each star: years
