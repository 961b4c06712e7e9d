"""Edge lists: what is counted, what is unknown, what is refused."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teamlink as tl
from teamlink.errors import DroppedRows
from teamlink.networks.indices import _by_layers, _by_search

STAFF = pd.DataFrame({"node": list("abcde"), "answered": [1, 1, 1, 1, 0]})
TIES = pd.DataFrame({"source": list("aabc"), "target": list("bcae")})


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    n = draw(st.integers(2, 8))
    bits = draw(st.lists(st.booleans(), min_size=n * n, max_size=n * n))
    m = np.array(bits, dtype=float).reshape(n, n)
    np.fill_diagonal(m, 0)
    return m


def edge_list(m: np.ndarray, school: str = "s") -> pd.DataFrame:
    i, j = np.nonzero(m)
    return pd.DataFrame({"school": school, "source": i, "target": j})


def roster(m: np.ndarray, school: str = "s") -> pd.DataFrame:
    return pd.DataFrame({"school": school, "node": range(len(m))})


@given(matrices())
def test_brute_force_and_networkx(m: np.ndarray) -> None:
    n = len(m)
    row = tl.networks.describe(edge_list(m), "school", roster=roster(m)).loc["s"]
    pairs = [(m[i, j], m[j, i]) for i in range(n) for j in range(i)]
    mutual, null = pairs.count((1, 1)), pairs.count((0, 0))
    assert row["density"] == pytest.approx(m.sum() / (n * (n - 1)))
    assert [row["mutual"], row["null"]] == [mutual, null]
    assert row["asymmetric"] == len(pairs) - mutual - null
    graph = nx.from_numpy_array(m, create_using=nx.DiGraph)
    assert row["strong_components"] == nx.number_strongly_connected_components(graph)
    assert row["components"] == nx.number_weakly_connected_components(graph)
    assert row["isolates"] == nx.number_of_isolates(graph)
    if m.any():
        assert row["reciprocity_edgewise"] == pytest.approx(nx.overall_reciprocity(graph))
    paths = [(i, k) for i in range(n) for j in range(n) for k in range(n)
             if i != k and m[i, j] and m[j, k]]  # fmt: skip
    if paths:
        assert row["transitivity"] == pytest.approx(np.mean([m[p] for p in paths]))
    else:
        assert np.isnan(row["transitivity"])
    both = graph.to_undirected()
    if not np.isnan(row["transitivity_undirected"]):
        assert row["transitivity_undirected"] == pytest.approx(nx.transitivity(both))


@given(matrices(), matrices(), st.randoms(use_true_random=False))
@settings(max_examples=settings().max_examples // 4)
def test_schools_apart_and_names_do_not_matter(a: np.ndarray, b: np.ndarray, rnd) -> None:
    alone = [tl.networks.describe(edge_list(m), "school", roster=roster(m)) for m in (a, b)]
    new = list(range(100, 100 + len(a)))
    rnd.shuffle(new)
    renamed = edge_list(a).assign(source=lambda t: t["source"].map(lambda i: new[i]),
                                  target=lambda t: t["target"].map(lambda i: new[i]))  # fmt: skip
    ties = pd.concat([edge_list(b, "t"), renamed]).sample(frac=1, random_state=1)
    people = pd.concat([roster(a).assign(node=new), roster(b, "t")])
    both = tl.networks.describe(ties, "school", roster=people)
    for key, expected in zip("st", alone, strict=True):
        pd.testing.assert_series_equal(both.loc[key], expected.loc["s"], check_names=False)


@given(matrices(), st.booleans())
def test_betweenness_by_matrices_and_by_search(m: np.ndarray, directed: bool) -> None:
    if not directed:
        m = np.triu(m)
    i, j = np.nonzero(m)
    given = (len(m), i.astype(np.intp), j.astype(np.intp), directed)
    np.testing.assert_allclose(_by_layers(*given), _by_search(*given), rtol=1e-12, atol=1e-13)


def test_betweenness_of_a_large_network() -> None:
    chain = pd.DataFrame({"source": range(400), "target": range(1, 401)})
    ours = tl.networks.nodes(chain)["betweenness"]
    passed = np.arange(401.0)
    np.testing.assert_allclose(ours, passed * (400 - passed))


def test_who_did_not_answer_is_unknown_not_silent() -> None:
    found = tl.networks.describe(TIES, roster=STAFF, responded="answered").iloc[0]
    assert [found["n"], found["respondents"], found["edges"]] == [5, 4, 4]
    assert found["possible"] == 4 * 4  # not 5 x 4
    assert found[["mutual", "asymmetric", "null"]].tolist() == [1, 1, 4]  # pairs among the four
    assert found["isolates"] == 1  # d answered and is alone
    assert found["unseen"] == 0  # e did not answer but is named
    silent = STAFF.assign(answered=[1, 1, 1, 0, 1])
    found = tl.networks.describe(TIES, roster=silent, responded="answered").iloc[0]
    assert [found["isolates"], found["unseen"]] == [0, 1]


def test_undirected_with_people_who_did_not_answer() -> None:
    staff = STAFF.assign(answered=[1, 1, 1, 0, 0])
    found = tl.networks.describe(
        TIES.iloc[[0, 1, 3]], roster=staff, responded="answered", directed=False
    ).iloc[0]
    assert found["possible"] == 10 - 1  # only the tie between d and e is unknown
    assert found["edges"] == 3


def test_weights() -> None:
    ties = pd.DataFrame(
        {"source": list("aabb"), "target": list("bcac"), "times": [2.0, 0.0, np.nan, 3.0]}
    )
    found = tl.networks.describe(ties, weight="times").iloc[0]
    assert [found["edges"], found["possible"]] == [2, 5]  # zero is no tie, missing unknown
    assert found[["mutual", "asymmetric", "null"]].tolist() == [0, 1, 1]
    people = tl.networks.nodes(ties, weight="times")
    assert people["outstrength"].tolist() == [2, 3, 0]
    assert people["instrength"].tolist() == [0, 2, 3]


def test_no_tie_at_all() -> None:
    empty = TIES.iloc[:0]
    found = tl.networks.describe(empty, roster=STAFF).iloc[0]
    assert [found["density"], found["isolates"], found["components"]] == [0, 5, 5]
    assert np.isnan(found["reciprocity_edgewise"])


def test_undirected_ties_may_stand_in_both_directions() -> None:
    one = TIES.iloc[[0, 1, 3]]
    other = one.rename(columns={"source": "target", "target": "source"})
    twice = tl.networks.describe(pd.concat([one, other]), directed=False)
    pd.testing.assert_frame_equal(twice, tl.networks.describe(one, directed=False))


def test_rows_left_out_are_said() -> None:
    ties = pd.concat([TIES, pd.DataFrame({"source": ["a", None], "target": ["a", "b"]})])
    with pytest.warns(DroppedRows) as seen:
        found = tl.networks.describe(ties)
    assert [str(w.message) for w in seen] == [
        "edges: 1 of 6 rows lack the school or one of the two persons and were left out",
        "edges: 1 of 6 rows name oneself and were left out",
    ]
    assert all(w.filename == __file__ for w in seen)
    assert found["edges"].iloc[0] == 4


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "dict"])
def test_any_table(kind: str) -> None:
    table = TIES
    if kind == "polars":
        table = pytest.importorskip("polars").DataFrame(TIES.to_dict("list"))
    elif kind == "pyarrow":
        table = pytest.importorskip("pyarrow").table(TIES.to_dict("list"))
    elif kind == "dict":
        table = TIES.to_dict("list")
    assert tl.networks.describe(table)["edges"].iloc[0] == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edges": TIES.rename(columns={"target": "to"})}, "column 'target'"),
        ({"edges": pd.concat([TIES, TIES[:1]])}, "1 ties are listed more than once"),
        ({"edges": TIES.assign(w=-1.0), "weight": "w"}, "outside 0"),
        ({"roster": STAFF[:4]}, "1 persons are not on the roster: e"),
        ({"roster": pd.concat([STAFF, STAFF[:1]])}, "repeats an earlier one"),
        (
            {"roster": STAFF.assign(answered=[0, 1, 1, 1, 1]), "responded": "answered"},
            "1 persons name others though they did not answer: a",
        ),
        ({"roster": STAFF.assign(answered=0.5), "responded": "answered"}, "it is yes or no"),
        ({"responded": "answered", "roster": None}, "there is no roster"),
        ({"roster": pd.DataFrame({"node": range(5)})}, "give them one type"),
        (
            {
                "edges": pd.DataFrame(
                    {"source": list("ab"), "target": list("ba"), "w": [1.0, 2.0]}
                ),
                "weight": "w",
                "directed": False,
            },
            "have two weights",
        ),
        ({"edges": TIES.iloc[:0], "roster": None}, "no rows"),
    ],
)
def test_bad_input(change: dict, message: str) -> None:
    given = {"edges": TIES, "roster": STAFF, **change}
    with pytest.raises(tl.DataError, match=message):
        tl.networks.describe(given.pop("edges"), **given)
