"""Whole files in; what is damaged raises."""

from __future__ import annotations

import gzip
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teamlink as tl
from teamlink.data.load import _ragged_plain, _ragged_quoted
from teamlink.errors import MissingExtra

FILES = Path(__file__).parent / "files"
PLAIN = "school,ses,name\na,0.25,Ann\nb,,Bo\nb,1e-3,Éva\n"
EXPECTED = pd.DataFrame(
    {"school": ["a", "b", "b"], "ses": [0.25, np.nan, 0.001], "name": ["Ann", "Bo", "Éva"]}
)


def write(path: Path, content: str | bytes) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def error_of(path: Any, **options: Any) -> str:
    with pytest.raises(tl.DataError) as caught:
        tl.load(path, **options)
    assert str(path) in str(caught.value) or Path(path).name in str(caught.value)
    return str(caught.value)


class TestText:
    @pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.CSV"])
    def test_csv(self, tmp_path: Path, name: str) -> None:
        pd.testing.assert_frame_equal(tl.load(write(tmp_path / name, PLAIN)), EXPECTED)

    @pytest.mark.parametrize("name", ["t.tsv", "t.tsv.gz"])
    def test_tsv(self, tmp_path: Path, name: str) -> None:
        path = write(tmp_path / name, PLAIN.replace(",", "\t"))
        pd.testing.assert_frame_equal(tl.load(path), EXPECTED)

    @pytest.mark.parametrize("ending", ["\r\n", "\r", "\n\n"])
    def test_line_endings_and_blank_lines(self, tmp_path: Path, ending: str) -> None:
        path = write(tmp_path / "t.csv", PLAIN.replace("\n", ending))
        pd.testing.assert_frame_equal(tl.load(path), EXPECTED)

    def test_byte_order_mark_and_missing_last_line_end(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", b"\xef\xbb\xbf" + PLAIN.rstrip("\n").encode())
        pd.testing.assert_frame_equal(tl.load(path), EXPECTED)

    def test_quotes(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", 'school,note\na,"x, y\nz"\nb,"say ""so"""\n')
        assert tl.load(path)["note"].tolist() == ["x, y\nz", 'say "so"']

    def test_encoding(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", PLAIN.encode("latin-1"))
        assert "not utf-8: byte 0xc9 in line 4" in error_of(path)
        pd.testing.assert_frame_equal(tl.load(path, encoding="latin-1"), EXPECTED)
        wide = write(tmp_path / "wide.csv", PLAIN.encode("utf-16"))
        pd.testing.assert_frame_equal(tl.load(wide, encoding="utf-16"), EXPECTED)

    def test_separator_and_decimal_sign(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", "school;ses\na;0,25\nb;-1,5\n")
        assert "pass sep=';'" in error_of(path)
        assert tl.load(path, sep=";", decimal=",")["ses"].tolist() == [0.25, -1.5]

    def test_columns(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", PLAIN)
        assert list(tl.load(path, columns=["ses", "school"]).columns) == ["ses", "school"]
        with pytest.raises(tl.DataError, match="did you mean 'ses'"):
            tl.load(path, columns=["sess"])

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
    def test_numbers_come_back_exactly(
        self, tmp_path_factory: pytest.TempPathFactory, values: list[float]
    ) -> None:
        path = tmp_path_factory.mktemp("exact") / "t.csv"
        write(path, "x\n" + "\n".join(f"{value:.17g}" for value in values))
        assert tl.load(path)["x"].tolist() == values


@settings(deadline=None)
@given(
    st.integers(1, 4),
    st.lists(st.integers(0, 5), min_size=1, max_size=12),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
def test_plain_and_quoted_reading_find_the_same_ragged_line(
    width: int, fields: list[int], ending: str, closed: bool
) -> None:
    lines = [",".join("x" * n) for n in [width, *fields]]
    text = (ending.join(lines) + ending * closed).encode()
    assert _ragged_plain(text, ",", width) == _ragged_quoted(text, ",", width)


class TestDamagedText:
    @pytest.mark.parametrize(
        ("content", "says"),
        [
            ("a,b\n1,2\n3\n4,5\n", "line 3 has 1 field, the header has 2"),
            ("a,b\n1,2\n3,4,5\n", "line 3 has 3 fields, the header has 2"),
            ("a,b\n1,2,9\n3,4,9\n", "line 2 has 3 fields, the header has 2"),
            ("a,b\n1,2\n\n3,4\n5", "line 5 has 1 field, the header has 2"),
            ("a,b\n1,2,9\n3\n4,5\n", "line 2 has 3 fields, the header has 2"),
            ("a,b\n1\n3,4,9\n4,5\n", "line 2 has 1 field, the header has 2"),
            ("a\n1\n2,3\n", "line 3 has 2 fields, the header has 1"),
            ('a,b\n1,"x,y"\n3\n', "line 3 has 1 field, the header has 2"),
            ('a,b\n1,"x,y"\n3,"cut', "cannot be read|line"),
        ],
    )
    @pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
    def test_ragged(self, tmp_path: Path, name: str, content: str, says: str) -> None:
        with pytest.raises(tl.DataError, match=says):
            tl.load(write(tmp_path / name, content))

    @pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
    def test_truncated_gzip(self, tmp_path: Path, keep: float) -> None:
        rows = "".join(f"{i},{i * 0.37}\n" for i in range(500))
        whole = gzip.compress(("a,b\n" + rows).encode())
        path = tmp_path / "t.csv.gz"
        path.write_bytes(whole[: int(len(whole) * keep)])
        assert "cut short or not gzip" in error_of(path)

    def test_damaged_gzip(self, tmp_path: Path) -> None:
        whole = bytearray(gzip.compress(PLAIN.encode() * 50))
        whole[30] ^= 0xFF
        path = tmp_path / "t.csv.gz"
        path.write_bytes(bytes(whole))
        assert "cut short or not gzip" in error_of(path)

    def test_not_gzip(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv.gz"
        path.write_text(PLAIN)
        assert "cut short or not gzip" in error_of(path)

    def test_zero_bytes(self, tmp_path: Path) -> None:
        assert "zero bytes" in error_of(write(tmp_path / "t.csv", "a,b\n1,\0\n"))

    @pytest.mark.parametrize("content", ["a,b\n", "a,b", "\n\n", "a,b\n\n\n"])
    def test_no_rows(self, tmp_path: Path, content: str) -> None:
        assert "no rows" in error_of(write(tmp_path / "t.csv", content))

    def test_names_that_come_twice(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", "a,b,a\n1,2,3\n")
        assert "column 'a': two columns have this name" in error_of(path)


class TestPlace:
    def test_missing_file_suggests_its_neighbour(self, tmp_path: Path) -> None:
        write(tmp_path / "students.csv", PLAIN)
        assert "did you mean 'students.csv'?" in error_of(tmp_path / "student.csv")

    def test_missing_file_in_an_empty_folder(self, tmp_path: Path) -> None:
        assert "the folder is empty" in error_of(tmp_path / "student.csv")

    def test_missing_folder(self, tmp_path: Path) -> None:
        assert "no such folder" in error_of(tmp_path / "nowhere" / "student.csv")

    def test_folder(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").mkdir()
        assert "this is a folder" in error_of(tmp_path / "t.csv")

    @pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.sav", "t.dta", "t.sas7bdat"])
    def test_empty_file(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        assert "the file is empty" in error_of(tmp_path / name)

    @pytest.mark.parametrize("name", ["t.xlsx", "t", "t.sav.gz", "t.gz"])
    def test_unknown_extension(self, tmp_path: Path, name: str) -> None:
        assert "readable are .csv, .tsv" in error_of(write(tmp_path / name, PLAIN))

    @pytest.mark.skipif(
        sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0,
        reason="the superuser may read every file",
    )
    @pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
    def test_no_permission(self, tmp_path: Path, name: str) -> None:
        path = write(tmp_path / name, PLAIN)
        path.chmod(0)
        assert "Permission denied" in error_of(path) or "permission" in error_of(path).lower()

    def test_path_as_text(self, tmp_path: Path) -> None:
        assert len(tl.load(str(write(tmp_path / "t.csv", PLAIN)))) == 3


class TestParquet:
    def test_round_trip(self, tmp_path: Path) -> None:
        EXPECTED.to_parquet(tmp_path / "t.parquet")
        pd.testing.assert_frame_equal(tl.load(tmp_path / "t.parquet"), EXPECTED)

    @pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
    def test_truncated(self, tmp_path: Path, keep: float) -> None:
        pd.DataFrame({"x": np.arange(1000.0)}).to_parquet(tmp_path / "whole.parquet")
        whole = (tmp_path / "whole.parquet").read_bytes()
        (tmp_path / "t.parquet").write_bytes(whole[: int(len(whole) * keep)])
        assert "not a whole parquet file" in error_of(tmp_path / "t.parquet")

    def test_other_content(self, tmp_path: Path) -> None:
        assert "not a whole parquet" in error_of(write(tmp_path / "t.parquet", PLAIN * 9))

    def test_no_rows(self, tmp_path: Path) -> None:
        EXPECTED.iloc[:0].to_parquet(tmp_path / "t.parquet")
        assert "no rows" in error_of(tmp_path / "t.parquet")


class TestStatistics:
    @pytest.mark.parametrize("kind", ["sav", "dta", "sas7bdat"])
    def test_codes_stay(self, kind: str) -> None:
        frame = tl.load(FILES / f"schools.{kind}")
        assert frame["school"].tolist() == [1, 1, 2, 2, 3]
        np.testing.assert_array_equal(frame["ses"], [0.1, -0.5, np.nan, 1.25, 0.75])
        assert frame["sector"].tolist() == [1, 2, 1, 2, 1]
        assert frame["name"].tolist() == ["Ann", "Bo", "Cy", "Di", "Éva"]
        assert frame.attrs["column_labels"] == {"ses": "Socio-economic status"}

    @pytest.mark.parametrize("kind", ["sav", "dta"])
    def test_labels(self, kind: str) -> None:
        codes = tl.load(FILES / f"schools.{kind}")
        assert codes.attrs["value_labels"] == {"sector": [(1, "Public"), (2, "Catholic")]}
        frame = tl.load(FILES / f"schools.{kind}", labels=True)
        assert isinstance(frame["sector"].dtype, pd.CategoricalDtype)
        assert frame["sector"].tolist() == ["Public", "Catholic", "Public", "Catholic", "Public"]
        assert frame["school"].tolist() == [1, 1, 2, 2, 3]

    def test_columns_keep_their_labels(self) -> None:
        frame = tl.load(FILES / "schools.sav", columns=["sector", "school"])
        assert list(frame.columns) == ["sector", "school"]
        assert frame.attrs["column_labels"] == {}
        assert list(frame.attrs["value_labels"]) == ["sector"]

    @pytest.mark.parametrize("keep", [0.02, 0.5, 0.8, 0.99, -1])
    @pytest.mark.parametrize("kind", ["sav", "dta", "sas7bdat"])
    def test_truncated(self, tmp_path: Path, kind: str, keep: float) -> None:
        whole = (FILES / f"schools.{kind}").read_bytes()
        path = tmp_path / f"t.{kind}"
        path.write_bytes(whole[: -1 if keep < 0 else int(len(whole) * keep)])
        assert f"not a whole .{kind} file" in error_of(path)

    @pytest.mark.parametrize("kind", ["sav", "zsav", "dta", "sas7bdat"])
    def test_other_content(self, tmp_path: Path, kind: str) -> None:
        assert f"not a whole .{kind} file" in error_of(write(tmp_path / f"t.{kind}", PLAIN * 9))


class TestOptions:
    def test_labels_only_where_there_are_labels(self) -> None:
        with pytest.raises(tl.OptionError, match=r"does not apply to \.sas7bdat"):
            tl.load(FILES / "schools.sas7bdat", labels=True)

    @pytest.mark.parametrize("option", ["sep", "decimal", "encoding"])
    def test_text_options_only_for_text(self, option: str) -> None:
        with pytest.raises(tl.OptionError, match=option):
            tl.load(FILES / "schools.sav", **{option: ","})

    def test_unknown_encoding(self, tmp_path: Path) -> None:
        with pytest.raises(tl.OptionError, match="utf-99"):
            tl.load(write(tmp_path / "t.csv", PLAIN), encoding="utf-99")

    @pytest.mark.parametrize(
        ("name", "package"), [("schools.sav", "pyreadstat"), ("schools.parquet", "pyarrow")]
    )
    def test_missing_package_names_the_extra(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, package: str
    ) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtra, match=rf"needs {package}: .*teamlink\[files\]"):
            tl.load(write(tmp_path / name, b"x"))


def test_reading_a_million_rows_does_not_warn_of_mixed_kinds(tmp_path: Path) -> None:
    rows = "\n".join(["1,a"] * 300_000 + ["x,b"])
    path = write(tmp_path / "t.csv", f"mixed,g\n{rows}\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = tl.load(path)
    with pytest.raises(tl.DataError, match="1 of 300001 values are not numbers: 'x'"):
        tl.validate(frame, numeric="mixed")
