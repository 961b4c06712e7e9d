import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from teamlink.errors import OptionError
from teamlink.simulation.checkpoint import Checkpoint, digest
from teamlink.simulation.runs import EachAlone, run
from teamlink.typing import Array


def draw(rng: np.random.Generator, seen: list[int]) -> Array:
    seen.append(1)
    x = rng.standard_normal(2)
    if x[0] < -1:
        raise ValueError("too small")
    return np.array([x[0], np.inf, np.nan])


def outcome(path: Path, n: int, seen: list[int]) -> tuple[list[int], list[list[float]], list[str]]:
    runs = run(EachAlone(partial(draw, seen=seen)), n, 3, checkpoint=Checkpoint(path, "r"))
    results = [value.tolist() for _, value in runs.results]
    return [k for k, _ in runs.results], results, [str(f) for f in runs.failures]


def test_what_is_finished_is_not_run_again_and_comes_back_bit_for_bit(tmp_path: Path) -> None:
    whole, first, second = [], [], []
    expected = outcome(tmp_path / "whole", 43, whole)
    outcome(tmp_path / "parts", 20, first)
    found = outcome(tmp_path / "parts", 43, second)
    np.testing.assert_array_equal(found[1], expected[1])
    assert found[0] == expected[0]
    assert found[2] == expected[2]
    assert found[2]
    assert (len(whole), len(first), len(second)) == (43, 20, 23)


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_line_that_was_cut_off_is_run_again(tmp_path: Path, cut: int) -> None:
    path, seen = tmp_path / "run", []
    expected = outcome(path, 20, [])
    text = path.read_bytes()
    path.write_bytes(text[:-cut])
    found = outcome(path, 20, seen)
    np.testing.assert_array_equal(found[1], expected[1])
    assert len(seen) == 5
    assert path.read_bytes() == text


def test_a_last_batch_that_was_shorter_is_run_as_a_whole(tmp_path: Path) -> None:
    path, seen = tmp_path / "run", []
    outcome(path, 7, [])
    found = outcome(path, 20, seen)
    np.testing.assert_array_equal(found[1], outcome(tmp_path / "other", 20, [])[1])
    assert len(seen) == 15


def test_an_empty_file_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"")
    assert Checkpoint(tmp_path / "run", "r").finished == {}
    assert json.loads((tmp_path / "run").read_text())["run"] == "r"


def test_the_file_of_another_run_is_refused(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "run", digest("study", 1))
    with pytest.raises(OptionError, match="belongs to another run"):
        Checkpoint(tmp_path / "run", digest("study", 2))


@pytest.mark.parametrize("text", ["hello\n", '{"first": 0}\n', '{"run": "r"}\n{"first": "x"}\n'])
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run").write_text(text)
    with pytest.raises(OptionError, match="is no record of a run"):
        Checkpoint(tmp_path / "run", "r")
    assert (tmp_path / "run").read_text() == text
