from collections.abc import Callable
from importlib import resources

import pytest

from teamlink.registry.reading import parse_study
from teamlink.registry.study import Study

Changed = Callable[..., Study]


def entry_text(key: str) -> str:
    entries = resources.files("teamlink.registry") / "entries"
    return (entries / f"{key}.toml").read_text(encoding="utf-8")


def with_value(text: str, name: str, value: float) -> str:
    """The text of a study with another population value."""
    head, mark, tail = text.partition(f'name = "{name}"\nvalue = ')
    assert mark, name
    return head + mark + repr(value) + tail[tail.index("\n") :]


@pytest.fixture
def goddard() -> str:
    return entry_text("goddard-2007")


@pytest.fixture
def hsb() -> str:
    return entry_text("hsb-1982")


@pytest.fixture
def changed(goddard: str) -> Changed:
    """Make a Goddard study with other population values and replaced words."""

    def change(values: dict[str, float] | None = None, **words: str) -> Study:
        text = goddard
        for name, value in (values or {}).items():
            text = with_value(text, name, value)
        for old, new in words.items():
            assert old in text
            text = text.replace(old, new)
        return parse_study(text, "changed.toml")

    return change
