from collections.abc import Callable
from importlib import resources

import pytest

from teamlink.registry.reading import parse_study
from teamlink.registry.study import Study

Changed = Callable[..., Study]

RECONCILIATION = """[reconciliation]
with = "goddard-2007"
text = "What makes the difference."
claims = ["G07a", "X1"]

"""


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
        # a smaller large world than the registry's: enough for tests, and quick
        text = goddard.replace('status = "ready"\n', 'status = "ready"\ntruth_times = 5\n', 1)
        for name, value in (values or {}).items():
            text = with_value(text, name, value)
        for old, new in words.items():
            assert old in text
            text = text.replace(old, new)
        return parse_study(text, "changed.toml")

    return change


@pytest.fixture
def template() -> str:
    """The study file to begin with."""
    file = resources.files("teamlink.registry") / "template.toml"
    return file.read_text(encoding="utf-8")


@pytest.fixture
def second(goddard: str) -> str:
    """A study of the population of `goddard`: its own pipeline and claims, no values."""
    head, _, rest = goddard.partition("[design]")
    pipeline = rest[rest.index("# The article's controls") : rest.index("# Sizes")]
    text = head.replace('"goddard-2007"', '"second"', 1) + RECONCILIATION + pipeline
    return text.replace('id = "G07a"', 'id = "X1"').replace('id = "G07b"', 'id = "X2"')
