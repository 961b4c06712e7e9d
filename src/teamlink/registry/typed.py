"""A TOML table as a dataclass: its fields say which keys there are and what each may hold."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from teamlink.errors import DataError, Fault, Faults, StudyError
from teamlink.registry.layout import Key, checked

__all__ = ["built", "keys_of"]

T = TypeVar("T")


def keys_of(cls: type, skip: tuple[str, ...] = ()) -> dict[str, Key]:
    """Keys of the TOML table that a dataclass is made from.

    Fields may be `str`, `int`, `float`, `bool`, `Literal[...]` of strings, `tuple[str, ...]`,
    `tuple[tuple[str, ...], ...]`, `Mapping[str, ...]`, and any of them `| None`.

    Parameters
    ----------
    cls : type
        A dataclass.
    skip : tuple of str
        Fields that are not in the table.

    Returns
    -------
    dict
        Key name to `Key`.
    """
    hints = _hints(cls)
    keys = {}
    for field in dataclasses.fields(cls):
        if field.name in skip or not field.init:
            continue
        none = field.default is dataclasses.MISSING
        required = none and field.default_factory is dataclasses.MISSING
        keys[field.name] = _key(hints[field.name], required)
    return keys


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _key(hint: Any, required: bool) -> Key:
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _key(next(a for a in inside if a is not type(None)), required)
    if origin is Literal:
        return Key(str, required, tuple(inside))
    if origin is tuple:
        return Key(list, required)
    if origin is not None and issubclass(origin, Mapping):
        return Key(dict, required)
    return Key((int, float) if hint is float else hint, required)


def built(
    cls: type[T],
    table: Mapping[str, Any],
    where: str,
    faults: Faults,
    sizes: Mapping[str, int] | None = None,
) -> T | None:
    """Make a dataclass from a TOML table; note every departure.

    Parameters
    ----------
    cls : type
        A dataclass, see `keys_of`.
    table : mapping
        From TOML, without the keys "kind", "name" and "step" of its kind.
    where : str
        What messages call the table.
    faults : Faults
        Takes what is wrong.
    sizes : mapping, optional
        Fields that come from elsewhere.

    Returns
    -------
    instance of `cls`, or None where something is wrong
    """
    sizes = sizes or {}
    keys = keys_of(cls, tuple(sizes))
    before = len(faults.found)
    entry = checked(table, where, keys, faults)
    hints = _hints(cls)
    values = {n: _value(v, hints[n], f"{where}, key {n!r}", faults) for n, v in entry.items()}
    if len(faults.found) > before:
        return None
    try:
        return cls(**values, **sizes)
    except DataError as error:
        faults.found += [Fault(f.what, f.where or where, f.remedy) for f in error.faults]
    except StudyError as error:
        faults.add(str(error), where)
    return None


def _value(value: Any, hint: Any, where: str, faults: Faults) -> Any:
    """Lists as tuples, with what they hold checked."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _value(value, next(a for a in inside if a is not type(None)), where, faults)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(v, inside[0], where, faults) for v in value)
    if origin is not None and isinstance(value, dict):
        return {k: _value(v, inside[1], where, faults) for k, v in value.items()}
    wanted: Any = (int, float) if hint is float else hint
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(wanted, type | tuple) and not isinstance(value, wanted):
        name = "number" if hint is float else getattr(hint, "__name__", str(hint))
        faults.add(f"holds {value!r}, which is no {'word' if hint is str else name}", where)
    return value
