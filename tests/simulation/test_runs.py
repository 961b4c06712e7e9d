from collections.abc import Sequence
from operator import methodcaller

import numpy as np
import pytest

from teamlink.errors import OptionError
from teamlink.simulation.runs import EachAlone, run


def one_draw(rng: np.random.Generator) -> float:
    return float(rng.standard_normal())


def sometimes(rng: np.random.Generator) -> float:
    x = float(rng.uniform())
    if x < 0.3:
        raise ValueError(f"{x:.1f} is too small")
    return x


def whole_batch(rngs: Sequence[np.random.Generator]) -> list[float | str]:
    values = [float(rng.uniform()) for rng in rngs]
    if min(values) < 0.05:
        raise FloatingPointError("a bad batch")
    return list(values)


def too_few(rngs: Sequence[np.random.Generator]) -> list[float | str]:
    return [1.0] * (len(rngs) - 1)


def test_jobs_do_not_change_a_number() -> None:
    # worker processes cannot import this file, so the function comes from the library
    draw = methodcaller("standard_normal")
    alone = run(EachAlone(draw), 23, seed=5, jobs=1)
    together = run(EachAlone(draw), 23, seed=5, jobs=2)
    assert alone.results == together.results
    assert len({value for _, value in alone.results}) == 23


def test_more_replicates_begin_with_the_same_ones() -> None:
    few, many = (run(EachAlone(one_draw), n, seed=5) for n in (7, 23))
    assert many.results[:7] == few.results


def test_seeds_matter() -> None:
    one, other = (run(EachAlone(one_draw), 3, seed=s) for s in (1, 2))
    assert one.results != other.results


def test_failures_are_kept_at_their_places() -> None:
    runs = run(EachAlone(sometimes), 40, seed=1)
    places = {f.replicate for f in runs.failures} | {k for k, _ in runs.results}
    assert places == set(range(40))
    assert 0 < len(runs.failures) < 40
    assert "ValueError: 0." in str(runs.failures[0])
    assert runs.asked == 40


def test_an_error_fails_its_whole_batch_and_no_other() -> None:
    runs = run(whole_batch, 60, seed=1, batch=4)
    failed = {f.replicate // 4 for f in runs.failures}
    assert len(runs.failures) == 4 * len(failed) > 0
    assert len(runs.results) == 60 - len(runs.failures)


def test_a_function_that_loses_replicates_is_refused() -> None:
    with pytest.raises(RuntimeError, match="4 results came back for 5"):
        run(too_few, 5, seed=1)


@pytest.mark.parametrize(
    ("options", "text"),
    [({"replicates": 0}, "replicates=0"), ({"jobs": 0}, "jobs=0"), ({"batch": 0}, "batch=0")],
)
def test_options_are_checked(options: dict[str, int], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        run(EachAlone(one_draw), **({"replicates": 3, "seed": 1} | options))


def test_progress_is_shown_when_asked_and_silent_in_a_pipe(
    capfd: pytest.CaptureFixture[str],
) -> None:
    run(EachAlone(one_draw), 6, seed=1)
    assert capfd.readouterr().err == ""
    run(EachAlone(one_draw), 6, seed=1, progress=True, label="goddard")
    assert "goddard" in capfd.readouterr().err
