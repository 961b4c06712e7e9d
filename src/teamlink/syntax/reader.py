"""Reading one side of a formula into an expression, by recursive descent.

Every fault is told with its place and with what to write instead.
"""

from __future__ import annotations

from dataclasses import replace

from teamlink.errors import FormulaError
from teamlink.syntax.calls import BARS, COMPARISONS, CallReader
from teamlink.syntax.expression import Bar, Chain, Group, Literal, Node, show, show_name
from teamlink.syntax.functions import FUNCTIONS
from teamlink.syntax.tokens import Kind, Token

__all__ = ["OPERATORS", "STRUCTURES", "Reader"]

STRUCTURES = ("us", "diag", "cs")
"""Structures of random effects: unstructured, diagonal, compound symmetry."""

OPERATORS = (
    *("~", "+", "-", "*", "/", ":", "**", "^", "%in%", "(", ")", ",", "="),
    *BARS,
    *COMPARISONS,
)
"""Every operator and mark of the formula language."""

# R's order of precedence.
_RANKS = {"+": 0, "-": 0, "*": 1, "/": 1, "%in%": 2, ":": 3, "**": 4, "^": 4}


class Reader(CallReader):
    """Reads one side of a formula, where the operators build terms."""

    def read(self) -> Node:
        """Read all tokens as one expression."""
        node = self._terms()
        if self.token.kind is not Kind.END:
            raise self._misplaced(node)
        return node

    def _terms(self, rank: int = 0) -> Node:
        """Read operands joined by operators of at least `rank`, those that bind tightest first."""
        head = self.token
        sign = self._sign() if rank == 0 else ""
        node = self._terms(1) if sign else self._term()
        while (found := self.rank(_RANKS)) >= rank:
            node = self._chain(found, sign, node, head)
            sign = "" if found == 0 else sign
        return Chain((sign,), (node,), head.start, node.end) if sign else node

    def _chain(self, rank: int, sign: str, first: Node, head: Token) -> Chain:
        """Read on after the first of some operands that operators of one rank join."""
        operators, operands = [sign], [first]
        while self.rank(_RANKS) == rank:
            token = self.take()
            self._need_operand(token)
            operator = "**" if token.value == "^" else token.value
            operators.append((self._sign() or "+") if operator == "+" else operator)
            operands.append(self._terms(rank + 1))
        if "%in%" in operators:
            # In R `b %in% a` is a:b, though it binds less tightly; formulaic would add a to it.
            operators = [operator.replace("%in%", ":") for operator in operators]
            operands = [_closed(operand) for operand in operands]
        chain = Chain(tuple(operators), tuple(operands), head.start, operands[-1].end)
        if rank:
            self._check_product(chain)
        return chain

    def _sign(self) -> str:
        """Take one sign, if there is one; a plus needs no mention."""
        if not self.token.is_operator("+", "-"):
            return ""
        token = self.take()
        self._need_operand(token)
        return "-" if token.value == "-" else ""

    def _need_operand(self, operator: Token) -> None:
        token = self.token
        if token.kind is Kind.END or token.is_operator(")", ",", *BARS):
            message = f"nothing follows {operator.value!r}; add a term or remove it"
            raise self.fault(operator, message)
        if token.is_operator("+", "-") and not operator.is_operator("+"):
            message = f"a sign cannot follow {operator.value!r}; remove one of the two"
            raise self.fault(token, message)

    def _check_product(self, chain: Chain) -> None:
        """Refuse arithmetic among terms: it belongs in I()."""
        if chain.operators[-1] == "**":
            return self._check_power(chain)
        number = next((o for o in chain.operands if isinstance(o, Literal)), None)
        if number is not None:
            remedy = "leave it out"
            if ":" not in chain.operators:
                remedy = f"for arithmetic write I({show(chain, code=True)})"
            raise self.fault(number, f"a number cannot take part in a term; {remedy}")
        return None

    def _check_power(self, chain: Chain) -> None:
        base, exponent = chain.operands[:2]
        if isinstance(base, Bar):
            message = f"a random term is added, never crossed or nested; write {show(base)}"
            raise self.fault(base, message)
        if not isinstance(base, Group):
            message = (
                f"a term crossed with itself is that term; for a power write I({show(base)} ** "
            )
            raise self.fault(base, f"{message}{show(exponent)})", exponent)
        if not (isinstance(exponent, Literal) and exponent.text in tuple("123456789")):
            message = "the power of a group of terms is a whole number from 1 to 9: (a + b)**2"
            raise self.fault(exponent, message)
        if len(chain.operands) > 2:
            raise self.fault(chain.operands[2], "one power at a time; use parentheses")

    def _term(self) -> Node:
        token = self.take()
        if token.kind is Kind.NUMBER:
            return Literal(token.value, token.start, token.end)
        if token.kind is Kind.NAME and self.token.is_operator("("):
            return self._structured(token) if self._holds_bar() else self.call(token)
        if token.kind in (Kind.NAME, Kind.QUOTED):
            return self.name(token)
        if token.is_operator("("):
            return self._group_or_bar(token)
        if token.kind is Kind.STRING:
            message = "a quoted text is no term; a name with blanks goes in backquotes: `a name`"
            raise self.fault(token, message)
        if token.is_operator(*BARS):
            message = f"nothing stands left of {token.value!r}; write (1 | g) for intercepts by g"
            raise self.fault(token, message)
        if token.is_operator(")"):
            raise self.fault(token, "this parenthesis was never opened; remove it or add (")
        message = f"{token.value!r} has nothing on its left; remove it or add a term"
        raise self.fault(token, message)

    def _holds_bar(self) -> bool:
        """Whether the parenthesis that comes next holds a bar of its own."""
        depth = 0
        for token in self._tokens[self._at :]:
            depth += token.is_operator("(") - token.is_operator(")")
            if depth == 1 and token.is_operator(*BARS):
                return True
            if not depth:
                return False
        return False

    def _structured(self, name: Token) -> Node:
        """Read a random term whose structure is named: ``cs(x | g)``."""
        apart = name.end < self.token.start
        if name.value not in STRUCTURES and (apart or name.value in FUNCTIONS):
            return self.call(name)
        if name.value not in STRUCTURES:
            known = ", ".join(STRUCTURES)
            message = f"{name.value!r} is no structure of random effects; there are: {known}"
            raise self.fault(name, message)
        bar = self._group_or_bar(self.take())
        if not isinstance(bar, Bar):
            raise self.fault(name, f"{name.value!r} takes one random term: {name.value}(x | g)")
        if not bar.correlated:
            message = f"{name.value}(...) says how effects correlate; write one bar in it"
            raise self.fault(name, message, bar)
        return replace(bar, structure=name.value, start=name.start)

    def _group_or_bar(self, opening: Token) -> Node:
        if self.token.is_operator(")"):
            message = "the parentheses are empty; put a term in them"
            raise self.fault(opening, message, self.token)
        if self.token.kind is Kind.END:
            raise self.fault(opening, "this parenthesis is never closed; add )")
        with self.nested(opening):
            inner = self._terms()
            if self.token.is_operator("|", "||"):
                return self._bar(opening, inner)
            closing = self._close(opening, inner)
        return Group(inner, opening.start, closing.end) if isinstance(inner, Chain) else inner

    def _bar(self, opening: Token, effects: Node) -> Bar:
        mark = self.take()
        if self.token.kind is Kind.END or self.token.is_operator(")"):
            message = f"nothing stands right of {mark.value!r}; name the group, as in (1 | school)"
            raise self.fault(mark, message)
        group = self._terms()
        closing = self._close(opening, group)
        return Bar(effects, group, mark.value == "|", opening.start, closing.end)

    def _close(self, opening: Token, before: Node) -> Token:
        if self.token.kind is Kind.END:
            raise self.fault(opening, "this parenthesis is never closed; add )")
        if self.token.is_operator("|", "||"):
            message = "one bar in a pair of parentheses; write (x | g) + (x | h)"
            raise self.fault(self.token, message)
        if not self.token.is_operator(")"):
            raise self._misplaced(before)
        return self.take()

    def _misplaced(self, before: Node) -> FormulaError:
        """Tell why the next token cannot follow the expression before it."""
        token = self.token
        if token.is_operator("|||"):
            message = "'|||' means nothing; write |, or || for uncorrelated effects"
        elif token.is_operator("|", "||"):
            message = self._bar_remedy(before, token.value)
        elif token.is_operator(")"):
            message = "this parenthesis was never opened; remove it or add ("
        elif token.is_operator(","):
            message = "a comma separates the arguments of a function only; join terms with +"
        elif token.is_operator("="):
            message = "'=' stands in function calls only; remove it"
        elif token.is_operator(*COMPARISONS):
            message = "a comparison goes in I(), as in I(x > 0)"
        else:
            message = f"an operator is missing before {token.value!r}; join terms with + or :"
        return self.fault(token, message)

    def _bar_remedy(self, before: Node, mark: str) -> str:
        last = before
        if isinstance(before, Chain) and before.operators[-1] in ("+", "-"):
            last = before.operands[-1]
        effects = "1" if isinstance(last, Bar) else show(last)
        after = self.after
        group = show_name(after.value) if after.kind in (Kind.NAME, Kind.QUOTED) else "g"
        return f"a random term stands in parentheses; write ({effects} {mark} {group})"


def _closed(operand: Node) -> Node:
    """Put parentheses around what binds less tightly than a colon."""
    if isinstance(operand, Chain) and operand.operators[-1] not in (":", "**"):
        return Group(operand, operand.start, operand.end)
    return operand
