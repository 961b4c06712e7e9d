"""Model formulas: ``"math ~ ses * sector + (ses | school)"``.

The text is read once into its parts. The fixed part goes on to formulaic as text; the random
terms, the bars of lme4's language, are read here. Nothing of a formula is ever evaluated here, and
only the functions listed in `teamlink.syntax.functions` may be called in one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field

from teamlink.errors import FormulaError
from teamlink.syntax.calls import BARS
from teamlink.syntax.expression import (
    Bar,
    Call,
    Chain,
    Group,
    Literal,
    Name,
    Node,
    Word,
    show,
    show_name,
    walk,
)
from teamlink.syntax.expression import Signed as Operand
from teamlink.syntax.reader import OPERATORS, Reader
from teamlink.syntax.terms import Terms, expand, flatten, show_term
from teamlink.syntax.tokens import Kind, Token, tokenize

__all__ = ["Formula", "RandomTerm", "parse"]


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """Effects that vary by a group: what ``(1 + ses | school)`` says.

    Two terms are equal where they say the same; their places in the text do not count.

    Parameters
    ----------
    terms : tuple of str
        The terms that vary, ``"1"`` for the intercept, in the order of their degree.
    group : tuple of str
        The grouping variables: one name, or several for the groups of an interaction ``a:b``.
    correlated : bool
        Whether the effects of one group may correlate: true for ``|``, false for ``||``.
    start, end : int
        Place of the term in the text, parentheses included, end excluded.
    structure : str
        ``"us"`` where variances and correlations are free; ``"diag"`` where there are no
        correlations, column by column; ``"cs"`` where all effects have one variance and all pairs
        one correlation.
    """

    terms: tuple[str, ...]
    group: tuple[str, ...]
    correlated: bool
    start: int = field(compare=False)
    end: int = field(compare=False)
    structure: str = "us"

    @property
    def effects(self) -> str:
        """What stands left of the bar, the intercept written out: ``"1 + ses"``, ``"0 + ses"``."""
        return " + ".join(self.terms if self.terms[0] == "1" else ("0", *self.terms))

    def split(self) -> tuple[str, ...]:
        """Give the effects of each block that is free of correlation with the others.

        A term with ``|`` is one block. One with ``||`` is a block for each of its terms, as
        lme4 expands it: by term, so that the levels of a categorical variable stay together.

        Returns
        -------
        tuple of str
            Right-hand sides without an implied intercept.

        Examples
        --------
        >>> parse("math ~ ses + (ses * female || school)").random[0].split()
        ('1', '0 + ses', '0 + female', '0 + ses:female')
        """
        if self.correlated:
            return (self.effects,)
        return tuple("1" if term == "1" else f"0 + {term}" for term in self.terms)

    def __str__(self) -> str:
        group = ":".join(map(show_name, self.group))
        name = "" if self.structure == "us" else self.structure
        return f"{name}({self.effects} {'|' if self.correlated else '||'} {group})"


@dataclass(frozen=True, slots=True)
class Formula:
    """A model formula, read but not evaluated.

    Two formulas are equal where their parts are; the text they were read from does not count.

    Parameters
    ----------
    text : str
        The text as it was given.
    response : str
        The left-hand side, in canonical form.
    fixed : str
        The right-hand side without the random terms, for formulaic; ``"1"`` where nothing is left.
    random : tuple of RandomTerm
        The random terms, with ``a/b`` expanded.
    variables : tuple of str
        The names of all columns that the formula needs, the grouping variables among them.
    functions : tuple of str
        The names of all functions called.
    """

    text: str = field(compare=False)
    response: str
    fixed: str
    random: tuple[RandomTerm, ...]
    variables: tuple[str, ...]
    functions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.response} ~ {' + '.join((self.fixed, *map(str, self.random)))}"


def parse(text: str) -> Formula:
    """Read a model formula.

    Parameters
    ----------
    text : str
        ``response ~ terms``. Fixed terms are those of formulaic and R: ``+ - * / : %in%``, a
        power of a group of terms, ``0 +`` or ``- 1`` for no intercept. Random terms are those of
        lme4: ``(x | g)``, ``(x || g)`` without correlations, ``a:b`` for the groups of an
        interaction, ``a/b`` for groups within groups; ``us(x | g)``, ``diag(x | g)`` and
        ``cs(x | g)`` name a structure. Lines may break anywhere between words.

    Returns
    -------
    Formula
        The parts, not evaluated.

    Raises
    ------
    FormulaError
        Where the text is no formula; the message shows the place and what to write instead.

    Notes
    -----
    Names may hold letters of any script, digits, ``_`` and, as in R, dots: ``IQ.ver`` is one
    name, never an attribute. Any other name goes in backquotes. A few readings are stricter than
    R's, which would pass in silence over what was meant: ``x^2`` is an error (R reads it as
    ``x``; write ``I(x^2)``), so are arithmetic on columns outside ``I()``, the response on both
    sides, and an effect that varies twice by the same group.

    The expansion is that of lme4 [1]_: ``(x | a/b)`` is ``(x | a) + (x | a:b)``, and
    ``(1 + x * z || g)`` varies by the terms ``1``, ``x``, ``z`` and ``x:z``. In R the same text
    is a formula without quotes.

    References
    ----------
    .. [1] Bates, D., Maechler, M., Bolker, B., & Walker, S. (2015). Fitting linear mixed-effects
       models using lme4. Journal of Statistical Software, 67(1), 1-48.
       https://doi.org/10.18637/jss.v067.i01

    Examples
    --------
    >>> formula = parse("math ~ ses * sector + (ses | district/school)")
    >>> formula.response, formula.fixed
    ('math', 'ses * sector')
    >>> [str(term) for term in formula.random]
    ['(1 + ses | district)', '(1 + ses | district:school)']
    >>> formula.variables
    ('math', 'ses', 'sector', 'district', 'school')
    >>> parse("math ~ ses + ses | school")
    Traceback (most recent call last):
    teamlink.errors.FormulaError: a random term stands in parentheses; write (ses | school)
      math ~ ses + ses | school
                       ^
    """
    if not isinstance(text, str):
        message = (
            f"a formula is a text such as 'math ~ ses + (1 | school)', not {type(text).__name__}"
        )
        raise FormulaError(message, "", 0)
    return _parse(text)


@functools.lru_cache(maxsize=256)
def _parse(text: str) -> Formula:
    left, right = _sides(text)
    response = _response(text, left)
    fixed: list[Operand] = []
    bars: list[_BarParts] = []
    for operand in flatten(Reader(text, right).read(), text):
        node = operand.operand
        if isinstance(node, Bar) and operand.sign == "+":
            bars.append(_BarParts(node, _effects(node, text), _groups(node, text)))
        else:
            _refuse_buried_bars(operand, text)
            fixed.append(operand)
    nodes = [response, *(o.operand for o in fixed), *(n for bar in bars for n in bar.nodes())]
    inner = [part for node in nodes for part in walk(node, into_calls=True)]
    variables: dict[str, Name] = {}
    for name in (part for part in inner if isinstance(part, Name)):
        variables.setdefault(name.name, name)
    found = [part for part in inner if isinstance(part, Call)]
    functions = dict.fromkeys(call.function for call in found)
    contrasts = {part.text for part in inner if isinstance(part, Word)}
    _refuse_response_again(text, response, nodes[1:], bars)
    _refuse_repeats(bars, text)
    _refuse_confusion(text, variables, functions.keys() | contrasts, set(map(show, found)))
    return Formula(
        text,
        show(response),
        _show_fixed(fixed),
        tuple(term for bar in bars for term in bar.random_terms()),
        tuple(variables),
        tuple(functions),
    )


@dataclass(frozen=True, slots=True)
class _BarParts:
    """A bar with its sides expanded."""

    bar: Bar
    effects: Terms
    groups: list[tuple[Name, ...]]

    def nodes(self) -> Iterator[Node]:
        """Yield the factors that vary and the names of the groups."""
        for terms in (self.effects.values(), self.groups):
            for term in terms:
                yield from term

    def random_terms(self) -> list[RandomTerm]:
        bar, terms = self.bar, tuple(map(show_term, self.effects.values()))
        return [
            RandomTerm(
                terms,
                tuple(n.name for n in group),
                bar.correlated,
                bar.start,
                bar.end,
                bar.structure or "us",
            )
            for group in self.groups
        ]


def _sides(text: str) -> tuple[tuple[Token, ...], tuple[Token, ...]]:
    """Cut the tokens at the one tilde."""
    tokens = tokenize(text, OPERATORS)
    tildes = [i for i, token in enumerate(tokens) if token.is_operator("~")]
    if len(tokens) == 1:
        raise FormulaError("the formula is empty; write response ~ terms", text, 0)
    if not tildes:
        equals = next((t for t in tokens if t.is_operator("=")), None)
        place = equals or tokens[0]
        remedy = "write ~ for =" if equals else "write response ~ terms, as in math ~ ses"
        raise FormulaError(f"the formula has no '~'; {remedy}", text, place.start, place.end)
    tilde = tokens[tildes[0]]
    if len(tildes) > 1:
        place = tokens[tildes[1]]
        message = "a formula has one '~'; remove this one"
        raise FormulaError(message, text, place.start, place.end)
    if tildes[0] == 0:
        message = "the response is missing; write its name before '~'"
        raise FormulaError(message, text, tilde.start, tilde.end)
    if len(tokens) == tildes[0] + 2:
        message = "nothing follows '~'; write 1 for an intercept alone"
        raise FormulaError(message, text, tilde.start, tilde.end)
    end = Token(Kind.END, "", tilde.start, tilde.start)
    return (*tokens[: tildes[0]], end), tokens[tildes[0] + 1 :]


def _response(text: str, tokens: tuple[Token, ...]) -> Name | Call:
    for token in tokens:
        if token.is_operator(*BARS):
            message = "a bar cannot stand in the response; random terms stand right of '~'"
            raise FormulaError(message, text, token.start, token.end)
    node = Reader(text, tokens).read()
    if isinstance(node, Name | Call):
        return node
    message = "the response is one column or a function of one; for arithmetic write I(...)"
    raise FormulaError(message, text, node.start, node.end)


def _show_fixed(operands: Iterable[Operand]) -> str:
    shown = "".join(f" {operand.sign} {show(operand.operand)}" for operand in operands)
    if not shown:
        return "1"
    return shown.removeprefix(" + ") if shown.startswith(" +") else f"-{shown[3:]}"


def _refuse_buried_bars(operand: Operand, text: str) -> None:
    for node in walk(operand.operand, into_calls=False):
        if not isinstance(node, Bar):
            continue
        shown = show(node)
        if operand.sign == "-":
            message = f"a random term cannot be subtracted; leave it out, or write + {shown}"
        else:
            message = f"a random term is added, never crossed or nested; write + {shown}"
        raise FormulaError(message, text, node.start, node.end)


def _effects(bar: Bar, text: str) -> Terms:
    for node in walk(bar.effects, into_calls=False):
        if isinstance(node, Bar):
            message = "a random term cannot stand within another; add it apart"
            raise FormulaError(message, text, node.start, node.end)
    terms = expand(bar.effects, text, intercept=True)
    if not terms:
        message = f"nothing varies here; write (1 | {show(bar.group)}) or leave it out"
        raise FormulaError(message, text, bar.effects.start, bar.effects.end)
    return terms


def _groups(bar: Bar, text: str) -> list[tuple[Name, ...]]:
    """Expand the right side of a bar: ``a/b`` into ``a`` and ``a:b``."""
    for node in walk(bar.group, into_calls=False):
        if isinstance(node, Bar):
            message = "a random term cannot stand within another; add it apart"
            raise FormulaError(message, text, node.start, node.end)
        if isinstance(node, Chain) and not set(node.operators) <= {"", ":", "/"}:
            message = f"groups are joined by ':' or '/' only{_group_remedy(bar, text)}"
            raise FormulaError(message, text, bar.group.start, bar.group.end)
        if isinstance(node, Literal):
            message = "a number is no group; name a column, as in (1 | school)"
            raise FormulaError(message, text, node.start, node.end)
        if not isinstance(node, Name | Chain | Group):
            message = f"a group is a column; make one from {show(node)} in the data and name it"
            raise FormulaError(message, text, node.start, node.end)
    seen: dict[str, Name] = {}
    for name in _bare_names(bar.group):
        if name.name in seen:
            message = f"{name.name!r} stands twice among the groups; once is enough"
            raise FormulaError(message, text, name.start, name.end)
        seen[name.name] = name
    terms = expand(bar.group, text, intercept=False)
    return [tuple(f for f in term if isinstance(f, Name)) for term in terms.values()]


def _bare_names(node: Node) -> list[Name]:
    return [part for part in walk(node, into_calls=False) if isinstance(part, Name)]


def _group_remedy(bar: Bar, text: str) -> str:
    """Say what to write for ``a + b`` or ``a * b`` right of a bar."""
    if not all(isinstance(n, Name | Chain | Group) for n in walk(bar.group, into_calls=False)):
        return ""
    effects, mark = show(bar.effects), "|" if bar.correlated else "||"
    terms = expand(bar.group, text, intercept=False).values()
    name = bar.structure
    shown = " + ".join(f"{name}({effects} {mark} {show_term(term)})" for term in terms)
    return f"; write {shown}" if shown else ""


def _refuse_response_again(
    text: str, response: Name | Call, others: Iterable[Node], bars: Iterable[_BarParts]
) -> None:
    """Refuse the response, where it is a bare column, as a group or a predictor."""
    if not isinstance(response, Name):
        return
    groups = [name for bar in bars for group in bar.groups for name in group]
    predictors = [name for node in others for name in _bare_names(node)]
    for role, found in (("grouped by", groups), ("predicted from", predictors)):
        for name in found:
            if name.name == response.name:
                message = f"the response {name.name!r} cannot be {role} itself; remove it here"
                raise FormulaError(message, text, name.start, name.end)


def _refuse_confusion(
    text: str, variables: Mapping[str, Name], functions: Set[str], called: Set[str]
) -> None:
    """Refuse columns that formulaic would take for something else in the formula, or the reverse.

    It tells functions from columns, and terms from one another, by their printed names alone.
    """
    for function in functions:
        name = variables.get(function.partition(".")[0])
        if name is not None:
            message = f"{name.name!r} is both a column and a function here; rename the column"
            raise FormulaError(message, text, name.start, name.end)
    factors = {text.replace(" ", "") for text in variables.keys() | called}
    for name in variables.values():
        shown = name.name.replace(" ", "")
        product = ":" in shown and set(shown.split(":")) <= factors
        if product or shown in {call.replace(" ", "") for call in called}:
            message = f"the column {name.name!r} has the name of another term; rename the column"
            raise FormulaError(message, text, name.start, name.end)


def _refuse_repeats(bars: list[_BarParts], text: str) -> None:
    """Refuse effects that no data can tell apart: twice by one group, or a group by itself."""
    seen: set[tuple[frozenset[str], frozenset[str]]] = set()
    for bar in bars:
        for group in bar.groups:
            by = frozenset(name.name for name in group)
            for key, term in bar.effects.items():
                if (by, key) in seen:
                    what = repr(show_term(term)) if term else "the intercept"
                    shown = ":".join(name.name for name in group)
                    message = f"{what} varies by {shown!r} twice; leave it out of one of the terms"
                    raise FormulaError(message, text, bar.bar.start, bar.bar.end)
                seen.add((by, key))
                for factor in term:
                    if isinstance(factor, Name) and by == {factor.name}:
                        message = (
                            f"{factor.name!r} cannot vary by itself; write (1 | {show(factor)})"
                        )
                        raise FormulaError(message, text, factor.start, factor.end)
