"""Files in, pandas frames out: csv, parquet, SPSS, Stata, SAS. The only reading of data files.

A file is read whole or not at all: what is cut short, ragged or unreadable raises.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import os
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from teamlink.data.schema import as_frame
from teamlink.errors import DataError, Fault, MissingExtra, OptionError, nearest

__all__ = ["load"]

SEPARATORS = {".csv": ",", ".tsv": "\t"}
PYREADSTAT = {
    ".sav": "read_sav",
    ".zsav": "read_sav",
    ".dta": "read_dta",
    ".sas7bdat": "read_sas7bdat",
}
WITH_LABELS = (".sav", ".zsav", ".dta")
# From 3.1 on pandas reads text to the nearest double by default, and warns when asked to.
EXACT: dict[str, Any] = (
    {"float_precision": "round_trip"}
    if tuple(int(part) for part in pd.__version__.split(".")[:2]) < (3, 1)
    else {}
)
KNOWN = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", *PYREADSTAT)


def load(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    labels: bool = False,
    sep: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
) -> pd.DataFrame:
    r"""Read a table from a file; the extension tells the format.

    Parameters
    ----------
    path : str or path
        ``.csv`` and ``.tsv`` (both also ``.gz``), ``.parquet``, ``.sav`` and ``.zsav`` (SPSS),
        ``.dta`` (Stata), ``.sas7bdat`` (SAS).
    columns : sequence of str, optional
        The columns wanted; all when None.
    labels : bool
        For SPSS and Stata: turn columns that have value labels into categoricals of these
        labels. By default the codes stay. Codes without a label stay as they are.
    sep : str, optional
        For csv and tsv: the separator; by default a comma, or a tab for tsv.
    decimal : str, optional
        For csv and tsv: the decimal sign; by default a point.
    encoding : str, optional
        For csv and tsv: the text encoding; by default UTF-8.

    Returns
    -------
    pandas.DataFrame
        From SPSS, Stata and SAS files, ``attrs["column_labels"]`` maps columns to their labels
        and ``attrs["value_labels"]`` maps columns to (code, label) pairs.

    Raises
    ------
    DataError
        The file is missing, empty, cut short, ragged, of another format than its extension says,
        or without a column that was asked for.
    OptionError
        An option was given that the format does not have.
    MissingExtra
        The format needs a package of the extra ``teamlink[files]``.

    Notes
    -----
    Numbers in text are read to the nearest double, so that a table written with 17 digits comes
    back unchanged. In R: ``read.csv``, ``arrow::read_parquet``, ``haven::read_sav``,
    ``haven::read_dta``, ``haven::read_sas``.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import teamlink as tl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "schools.csv"
    ...     _ = path.write_text("school,ses\na,0.25\nb,\n")
    ...     tl.load(path)
      school   ses
    0      a  0.25
    1      b   NaN
    """
    file = Path(path).expanduser()
    kind = _kind(file)
    _check_options(kind, labels=labels, sep=sep, decimal=decimal, encoding=encoding)
    _check_there(file)
    if kind in PYREADSTAT:
        frame = _read_statistics(file, kind, labels)
    elif kind == ".parquet":
        frame = _read_parquet(file)
    else:
        text = _text(file, encoding or "utf-8")
        frame = _read_text(file, text, sep or SEPARATORS[kind.removesuffix(".gz")], decimal or ".")
    if frame.empty:
        raise _fault(file, "the file holds no rows", "check how it was written")
    return frame if columns is None else _chosen(frame, columns)


def _chosen(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    chosen = as_frame(frame, columns)
    chosen.attrs = {
        kind: {name: label for name, label in entries.items() if name in chosen.columns}
        for kind, entries in frame.attrs.items()
    }
    return chosen


def _kind(file: Path) -> str:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    kind = "".join(suffixes[-2:]) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])
    if kind not in KNOWN:
        what = f"unknown extension {kind!r}" if kind else "the file name has no extension"
        raise _fault(file, what, f"readable are {', '.join(KNOWN)}")
    return kind


def _check_options(kind: str, *, labels: bool, **of_text: str | None) -> None:
    if labels and kind not in WITH_LABELS:
        raise OptionError(f"labels=True does not apply to {kind}; only {', '.join(WITH_LABELS)}")
    given = [name for name, value in of_text.items() if value is not None]
    if given and kind.removesuffix(".gz") not in SEPARATORS:
        raise OptionError(f"{', '.join(given)}: does not apply to {kind}, only to csv and tsv")


def _check_there(file: Path) -> None:
    if file.is_dir():
        raise _fault(file, "this is a folder, not a file", "name a file in it")
    if not file.exists():
        if not file.parent.is_dir():
            raise _fault(file, "there is no such folder", "check the path")
        names = sorted(entry.name for entry in file.parent.iterdir())
        hint = nearest(file.name, names) if names else "the folder is empty"
        raise _fault(file, "there is no such file", hint)
    if file.stat().st_size == 0:
        raise _fault(file, "the file is empty", "check how it was written")


def _fault(file: Path, what: str, remedy: str) -> DataError:
    return DataError([Fault(what, str(file), remedy)])


def _text(file: Path, encoding: str) -> bytes:
    """Give the whole content as UTF-8."""
    try:
        raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _fault(file, f"cut short or not gzip: {error}", "fetch the file again") from error
    except OSError as error:
        raise _fault(file, f"cannot be read: {error.strerror}", "check its permissions") from error
    try:
        decoded = raw.decode(encoding)
    except LookupError as error:
        raise OptionError(f"encoding={encoding!r} is not known to Python") from error
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _fault(
            file,
            f"not {encoding}: byte 0x{raw[error.start]:02x} in line {line}",
            'pass the encoding, as in encoding="latin-1"',
        ) from error
    if "\0" in decoded:
        raise _fault(file, "holds zero bytes: not a text file, or cut short", "write it again")
    return raw if encoding.lower() in ("utf-8", "utf8") else decoded.encode()


def _read_text(file: Path, text: bytes, sep: str, decimal: str) -> pd.DataFrame:
    text = text.removeprefix(b"\xef\xbb\xbf")
    try:
        header = _header(text, sep)
        _check_header(file, header, sep)
        _check_ragged(file, text, sep, len(header))
    except csv.Error as error:
        raise _fault(file, f"cannot be read: {error}", "check the file") from error
    try:
        frame: pd.DataFrame = pd.read_csv(
            io.BytesIO(text),
            sep=sep,
            decimal=decimal,
            low_memory=False,
            index_col=False,
            **EXACT,
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise _fault(file, f"cannot be read: {error}", "check the file") from error
    return frame


def _header(text: bytes, sep: str) -> list[str]:
    start = text[:1_000_000].decode(errors="ignore")
    rows = csv.reader(io.StringIO(start, newline=None), delimiter=sep)
    return next((row for row in rows if row), [])


def _check_header(file: Path, header: list[str], sep: str) -> None:
    if not header:
        raise _fault(file, "the file holds no rows", "check how it was written")
    if len(header) == 1:
        for other in (";", "\t", ",", "|"):
            if other != sep and other in header[0]:
                raise _fault(file, f"no {sep!r} in the header", f"pass sep={other!r}")
    twice = [name for name, times in Counter(header).items() if times > 1 and name]
    if twice:
        raise DataError(
            [
                Fault("two columns have this name", f"{file}, column {name!r}", "rename one")
                for name in twice
            ]
        )


def _check_ragged(file: Path, text: bytes, sep: str, width: int) -> None:
    """Raise unless every line has as many fields as the header; blank lines are passed over."""
    plain = b'"' not in text and len(sep.encode()) == 1
    found = _ragged_plain(text, sep, width) if plain else _ragged_quoted(text, sep, width)
    if found:
        line, fields = found
        raise _fault(
            file,
            f"line {line} has {fields} field{'s'[: fields != 1]}, the header has {width}",
            "the file is damaged or cut short, or the separator is another",
        )


def _ragged_plain(text: bytes, sep: str, width: int) -> tuple[int, int] | None:
    raw = np.frombuffer(text, dtype=np.uint8)
    newline = 10 if b"\n" in text else 13
    ends = np.flatnonzero(raw == newline)
    if not len(ends) or ends[-1] != len(raw) - 1:
        ends = np.append(ends, len(raw))
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts
    filled = lengths > 0
    if newline == 10:
        one = np.flatnonzero(lengths == 1)
        filled[one] = raw[starts[one]] != 13
    commas = np.flatnonzero(raw == ord(sep))
    if len(commas) == int(filled.sum()) * (width - 1):
        # dealt out in turn, the separators of a whole file fall within their own lines
        if width == 1:
            return None
        dealt = commas.reshape(-1, width - 1)
        if ((dealt[:, 0] >= starts[filled]) & (dealt[:, -1] < ends[filled])).all():
            return None
    fields = np.diff(np.searchsorted(commas, ends), prepend=0) + 1
    bad = np.flatnonzero((fields != width) & filled)
    return (int(bad[0]) + 1, int(fields[bad[0]])) if len(bad) else None


def _ragged_quoted(text: bytes, sep: str, width: int) -> tuple[int, int] | None:
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(text), "utf-8", newline=""), delimiter=sep)
    for row in reader:
        if row and len(row) != width:
            return reader.line_num, len(row)
    return None


def _read_parquet(file: Path) -> pd.DataFrame:
    pyarrow = _extra("pyarrow", file)
    parquet = importlib.import_module("pyarrow.parquet")
    try:
        table = parquet.read_table(file)
        frame: pd.DataFrame = table.to_pandas()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _fault(file, f"not a whole parquet file: {error}", "fetch the file again") from error
    return frame


def _read_statistics(file: Path, kind: str, labels: bool) -> pd.DataFrame:
    pyreadstat = _extra("pyreadstat", file)
    own = (getattr(pyreadstat, name, OSError) for name in ("ReadstatError", "PyreadstatError"))
    refusals = (*own, OSError, ValueError)  # older versions have only the first of their own
    options: dict[str, Any] = {}
    if labels:
        options = {"apply_value_formats": True, "formats_as_category": True}
    try:
        frame, meta = getattr(pyreadstat, PYREADSTAT[kind])(str(file), **options)
    except refusals as error:
        what = f"not a whole {kind} file: {error}"
        raise _fault(file, what, "fetch the file again, or save it anew") from error
    if kind == ".dta":
        _check_end_of_stata(file)
    frame.attrs["column_labels"] = {
        name: label for name, label in meta.column_names_to_labels.items() if label
    }
    frame.attrs["value_labels"] = {
        name: list(pairs.items()) for name, pairs in meta.variable_value_labels.items()
    }
    table: pd.DataFrame = frame
    return table


def _check_end_of_stata(file: Path) -> None:
    """Raise if the closing tag of the newer format is lost: then value labels may be, too."""
    with file.open("rb") as stream:
        tagged = stream.read(11) == b"<stata_dta>"
        stream.seek(-12, os.SEEK_END)
        closed = stream.read() == b"</stata_dta>"
    if tagged and not closed:
        raise _fault(file, "not a whole .dta file: its end is missing", "fetch the file again")


def _extra(package: str, file: Path) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtra(
            f"reading {file.name} needs {package}: pip install 'teamlink[files]'"
        ) from error
