import json
from pathlib import Path

import pytest

import teamlink as tl
from teamlink.errors import StudyError
from teamlink.registry.catalogue import find, keys, studies

RAW = Path(__file__).parents[1] / "reference" / "lme4" / "output" / "hsb_rb_reml.json"


def _design(key: str) -> str:
    return str(studies().set_index("key").loc[key, "design"])


def test_every_entry_is_well_formed_and_ready() -> None:
    assert {"goddard-2007", "hsb-1982"} <= set(keys())
    for key in keys():
        assert find(key).key == key


def test_studies_is_the_frame_of_the_contract() -> None:
    table = tl.studies()
    assert list(table.columns) == ["key", "citation", "design", "model", "claims", "status"]
    ran = table[table["status"].isin(["ready", "draft"])]
    assert list(ran["key"]) == list(keys())
    assert "47 schools, 452 teachers, 2,536 students" in _design("goddard-2007")


def test_find_suggests_the_nearest() -> None:
    with pytest.raises(StudyError, match="did you mean 'hsb-1982'"):
        find("hsb1982")


def test_find_takes_a_path_and_a_study(tmp_path: Path, goddard: str) -> None:
    path = tmp_path / "copy.toml"
    path.write_text(goddard)
    study = find(str(path))
    assert find(study) is study


def test_reference_numbers_are_the_other_programs_own() -> None:
    """The entry's numbers for lme4 are those of its raw output, digit for digit."""
    raw = json.loads(RAW.read_text())
    fit, version = raw["tight"], raw["versions"]["lme4"]
    spelled = {"(Intercept)": "Intercept", "sectorCatholic": "sector[T.Catholic]"}
    names = [":".join(spelled.get(p, p) for p in n.split(":")) for n in fit["names"]]
    expected = {("deviance", ""): fit["criterion"]}
    for name, estimate, se in zip(names, fit["fixef"], fit["se"], strict=True):
        expected |= {("estimate", name): estimate, ("std_error", name): se}
    references = find("hsb-1982").references
    assert {r.program for r in references} == {f"lme4 {version}"}
    assert {(r.quantity, r.term): r.value for r in references} == expected


def test_sizes_in_words() -> None:
    assert _design("hsb-1982") == "160 schools, 7,185 students (real data)"
