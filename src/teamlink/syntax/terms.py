"""The algebra of terms: what ``1 + x * z`` stands for.

A term is a product of factors, told by the set of them; the intercept is the empty product. Terms
stand in the order of their degree and, within a degree, of the text, as in R.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from teamlink.errors import FormulaError
from teamlink.syntax.expression import (
    Bar,
    Call,
    Chain,
    Group,
    Literal,
    Name,
    Node,
    Signed,
    show,
    walk,
)

__all__ = ["INTERCEPT", "Factor", "Term", "Terms", "expand", "flatten", "is_sum", "show_term"]

Factor: TypeAlias = Name | Call
Term: TypeAlias = tuple[Factor, ...]
Terms: TypeAlias = dict[frozenset[str], Term]

INTERCEPT: frozenset[str] = frozenset()
_MOST_TERMS = 500


def show_term(term: Term) -> str:
    """Print a term; the intercept is ``1``."""
    return ":".join(map(show, term)) if term else "1"


def flatten(node: Node, text: str) -> list[Signed]:
    """Take the sum at the top apart into its operands with their signs.

    Parentheses that are added are opened, so that ``0``, ``1`` and the bars in them count as in R;
    formulaic would pass over a ``- 1`` in parentheses.
    """
    flat: list[Signed] = []
    _flatten(node, text, flat)
    for operand in flat:
        _refuse_buried_numbers(operand.operand, text)
    return flat


def _flatten(node: Node, text: str, flat: list[Signed]) -> None:
    if isinstance(node, Group):
        node = node.inner
    if not (isinstance(node, Chain) and is_sum(node)):
        node = Chain(("",), (node,), node.start, node.end)
    for operator, operand in zip(node.operators, node.operands, strict=True):
        sign = "-" if operator == "-" else "+"
        if sign == "+" and isinstance(operand, Group) and (not flat or _opens(operand)):
            _flatten(operand, text, flat)
        else:
            flat.append(Signed(sign, operand, operand.start, operand.end))


def is_sum(node: Chain) -> bool:
    """Say whether the operands are added or subtracted."""
    return node.operators[-1] in ("", "+", "-")


def _opens(group: Group) -> bool:
    """Say whether parentheses after a plus may go: not where a term is subtracted within them."""
    inner = group.inner
    return not isinstance(inner, Chain) or all(
        operator != "-" or isinstance(operand, Literal)
        for operator, operand in zip(inner.operators, inner.operands, strict=True)
    )


def _refuse_buried_numbers(node: Node, text: str) -> None:
    """Let 0 and 1 stand at the top only: elsewhere they would be passed over in silence."""
    if isinstance(node, Name | Call):
        return
    if isinstance(node, Literal):
        if node.text not in ("0", "1"):
            message = "of numbers only 0 and 1 are terms; for arithmetic write I(...)"
            raise FormulaError(message, text, node.start, node.end)
        return
    for inner in walk(node, into_calls=False):
        if isinstance(inner, Bar):
            return
        if isinstance(inner, Chain) and is_sum(inner):
            for operand in inner.operands:
                if isinstance(operand, Literal):
                    message = f"take {operand.text!r} out of the parentheses"
                    raise FormulaError(message, text, operand.start, operand.end)


def expand(node: Node, text: str, *, intercept: bool) -> Terms:
    """Expand an expression into its terms.

    Parameters
    ----------
    node : Node
        An expression without bars.
    text : str
        The whole text, for messages.
    intercept : bool
        Whether an intercept is meant where none is written.

    Returns
    -------
    dict of frozenset to tuple of Factor
        The factors of each term, keyed by their printed set.

    Raises
    ------
    FormulaError
        Where the terms are too many, or a number is among them that is neither 0 nor 1.
    """
    terms: Terms = {INTERCEPT: ()} if intercept else {}
    for signed in flatten(node, text):
        _include(terms, signed, text)
    return dict(sorted(terms.items(), key=lambda item: len(item[0])))


def _include(terms: Terms, signed: Signed, text: str) -> None:
    """Put one operand of a sum in, or take it out; ``- 1`` and ``+ 0`` take the intercept out."""
    plus, operand = signed.sign == "+", signed.operand
    if isinstance(operand, Literal):
        if plus == (operand.text == "1"):
            terms.setdefault(INTERCEPT, ())
        else:
            terms.pop(INTERCEPT, None)
        return
    for key, term in _terms_of(operand, text).items():
        if plus:
            terms.setdefault(key, term)
        else:
            terms.pop(key, None)


def _terms_of(node: Node, text: str) -> Terms:
    match node:
        case Name() | Call():
            return {frozenset((show(node),)): (node,)}
        case Chain(operators=(_, "**"), operands=(base, exponent)):
            return _power(_terms_of(base, text), int(show(exponent)), node, text)
        case Group():
            return _terms_of(node.inner, text)
        case Chain() if is_sum(node):
            return expand(node, text, intercept=False)
        case Chain():
            left = _terms_of(node.operands[0], text)
            for operator, operand in zip(node.operators[1:], node.operands[1:], strict=True):
                right = _terms_of(operand, text)
                left = _join(left, operator, right, node, text)
            return left
        case _:
            raise AssertionError(f"no term: {node}")


def _join(left: Terms, operator: str, right: Terms, node: Chain, text: str) -> Terms:
    if operator == "*":
        return _merged((left, right, _cross(left, right, node, text)))
    if operator == "/":
        whole = _distinct(f for term in left.values() for f in term)
        nested = _cross({frozenset(map(show, whole)): whole}, right, node, text)
        return _merged((left, nested))
    return _cross(left, right, node, text)


def _cross(left: Terms, right: Terms, node: Chain, text: str) -> Terms:
    if len(left) * len(right) > _MOST_TERMS:
        message = f"this multiplies out to over {_MOST_TERMS} terms; write those you mean"
        raise FormulaError(message, text, node.start, node.end)
    return _merged({a | b: _distinct((*s, *t))} for a, s in left.items() for b, t in right.items())


def _power(base: Terms, exponent: int, node: Chain, text: str) -> Terms:
    terms = base
    for _ in range(min(exponent, len(base)) - 1):
        terms = _merged((terms, _cross(terms, base, node, text)))
    return terms


def _merged(parts: Iterable[Terms]) -> Terms:
    """Join terms; of two spellings of one term the first stays."""
    merged: Terms = {}
    for terms in parts:
        for key, term in terms.items():
            merged.setdefault(key, term)
    return merged


def _distinct(factors: Iterable[Factor]) -> Term:
    found: dict[str, Factor] = {}
    for factor in factors:
        found.setdefault(show(factor), factor)
    return tuple(found.values())
