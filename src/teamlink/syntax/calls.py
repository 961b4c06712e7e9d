"""Reading a function call, within which the operators are arithmetic."""

from __future__ import annotations

import keyword
import unicodedata

from teamlink.errors import FormulaError
from teamlink.syntax.expression import (
    KEYWORDS_AS_NAMES,
    Call,
    Chain,
    Group,
    Literal,
    Name,
    Node,
    Signed,
    Word,
)
from teamlink.syntax.functions import CONTRASTS, FUNCTIONS, Signature, remedy_for
from teamlink.syntax.tokens import Cursor, Kind, Token

__all__ = ["BARS", "COMPARISONS", "CallReader"]

COMPARISONS = ("<", ">", "<=", ">=", "==", "!=")
BARS = ("|", "||", "|||")

_RANKS = {**dict.fromkeys(COMPARISONS, 0), "+": 1, "-": 1, "*": 2, "/": 2}
_TAKEN = ("Intercept", "1", ".")
_TRUTHS_OF_R = ("TRUE", "FALSE")
_TRUTHS = ("True", "False", "None")


class CallReader(Cursor):
    """Reads names and function calls: what the two grammars share, and the one inside a call."""

    def name(self, token: Token, *, code: bool = False) -> Name:
        """Make a variable of a token, in or outside of a call."""
        name, bare = token.value, token.kind is Kind.NAME
        reserved = keyword.iskeyword(name)
        if name.strip() in _TAKEN:
            raise self.fault(token, f"{name!r} has a meaning of its own; rename the column")
        if bare and reserved and name not in KEYWORDS_AS_NAMES:
            message = f"{name!r} is a word of Python; if it is a column, write `{name}`"
            raise self.fault(token, message)
        if bare and code and name in _TRUTHS_OF_R:
            raise self.fault(token, f"{name} is R's; write {name.capitalize()}")
        if name.startswith("__") and (bare or code):
            raise self.fault(token, "a name cannot begin with '__' here; rename the column")
        if bare and ".__" in name:
            raise self.fault(token, "a formula knows no attributes of objects; name a column")
        if code and (reserved or unicodedata.normalize("NFKC", name) != name):
            message = f"{name!r} cannot be read within a function; rename the column"
            raise self.fault(token, message)
        return Name(name, token.start, token.end)

    def call(self, token: Token) -> Call:
        """Read a call of a function on the list; the opening parenthesis comes next."""
        signature = FUNCTIONS.get(token.value)
        if signature is not None:
            return self._arguments(token, signature)
        if token.end < self.token.start:
            message = f"an operator is missing after {token.value!r}; join terms with + or :"
            raise self.fault(self.token, message)
        message = f"{token.value!r} is no function of formulas; {remedy_for(token.value)}"
        raise self.fault(token, message)

    def _arguments(self, token: Token, signature: Signature) -> Call:
        opening = self.take()
        keywords: list[str] = []
        values: list[Node] = []
        with self.nested(opening):
            while not self.token.is_operator(")"):
                if values and not self.token.is_operator(","):
                    raise self._unfinished(opening)
                if values:
                    self.take()
                keywords.append(self._keyword(token.value, signature, keywords))
                contrast = token.value == "C" and (keywords[-1] == "contrasts" or len(values) == 1)
                values.append(self._contrast() if contrast else self._code())
        closing = self.take()
        plain = keywords.count("")
        if not signature.least <= plain <= signature.most:
            least, most = signature.least, signature.most
            wanted = str(least) if least == most else f"{least} to {most}"
            unit = "argument" if wanted == "1" else "arguments"
            apart = " besides its keywords" if signature.keywords else ""
            message = f"{token.value!r} takes {wanted} {unit}{apart}, not {plain}"
            raise self.fault(token, message, closing)
        return Call(token.value, tuple(keywords), tuple(values), token.start, closing.end)

    def _keyword(self, function: str, signature: Signature, seen: list[str]) -> str:
        token = self.token
        if not (token.kind is Kind.NAME and self.after.is_operator("=")):
            if any(seen):
                message = "an argument without a keyword cannot follow one with a keyword"
                raise self.fault(token, message)
            return ""
        if token.value in seen:
            raise self.fault(token, f"{token.value!r} is given twice; leave one out")
        if token.value not in signature.keywords:
            known = ", ".join(sorted(signature.keywords)) or "none"
            message = f"{function!r} does not take {token.value!r} here; its keywords: {known}"
            raise self.fault(token, message)
        self.take()
        self.take()
        return token.value

    def _contrast(self) -> Node:
        """Read the second argument of C: a contrast, called or not."""
        token = self.token
        if token.kind is Kind.END:
            raise self._missing()
        if token.kind is not Kind.NAME or token.value not in CONTRASTS:
            known = ", ".join(CONTRASTS)
            raise self.fault(token, f"the second argument of C is a contrast, one of: {known}")
        self.take()
        if self.token.is_operator("("):
            return self._arguments(token, CONTRASTS[token.value])
        if token.value == "Treatment":  # the only one that formulaic takes when called alone
            return Call(token.value, (), (), token.start, token.end)
        return Word(token.value, token.start, token.end)

    def _code(self, rank: int = 0) -> Node:
        node = self._signed()
        while (found := self.rank(_RANKS)) >= rank:
            operators, operands = [""], [node]
            while self.rank(_RANKS) == found:
                token = self.take()
                if found == 0 and len(operands) > 1:
                    message = "one comparison at a time; write I(a < b) and I(b < c) apart"
                    raise self.fault(token, message)
                operators.append(token.value)
                operands.append(self._code(found + 1))
            node = Chain(tuple(operators), tuple(operands), node.start, operands[-1].end)
        return node

    def _signed(self) -> Node:
        token = self.token
        if not token.is_operator("+", "-"):
            return self._power()
        self.take()
        with self.nested(token):
            operand = self._signed()
        return Signed(token.value, operand, token.start, operand.end)

    def _power(self) -> Node:
        base = self._atom()
        token = self.token
        if not token.is_operator("**", "^"):
            return base
        self.take()
        with self.nested(token):
            exponent = self._signed()
        return Chain(("", "**"), (base, exponent), base.start, exponent.end)

    def _atom(self) -> Node:
        token = self.token
        if token.kind is Kind.END or (token.kind is Kind.OPERATOR and token.value != "("):
            raise self._missing()
        self.take()
        if token.kind is Kind.OPERATOR:
            return self._parentheses(token)
        if token.kind is Kind.NUMBER:
            return Literal(token.value, token.start, token.end)
        if token.kind is Kind.STRING:
            return Literal(_show_string(token.value), token.start, token.end)
        if token.kind is Kind.NAME and self.token.is_operator("("):
            return self.call(token)
        if token.kind is Kind.NAME and token.value in _TRUTHS:
            return Literal(token.value, token.start, token.end)
        return self.name(token, code=True)

    def _parentheses(self, opening: Token) -> Node:
        with self.nested(opening):
            inner = self._code()
            if not self.token.is_operator(")"):
                raise self._unfinished(opening)
        closing = self.take()
        if isinstance(inner, Chain | Signed):
            return Group(inner, opening.start, closing.end)
        return inner

    def _missing(self) -> FormulaError:
        """Tell that an argument or an operand is missing at the next token."""
        token = self.token
        if token.kind is Kind.END:
            last = self._tokens[self._at - 1]
            message = f"nothing follows {last.value!r}; complete the function and close it with )"
            return self.fault(last, message)
        if token.is_operator(*BARS):
            return self._stray_bar()
        return self.fault(token, f"{token.value!r} cannot stand here; an argument is missing")

    def _unfinished(self, opening: Token) -> FormulaError:
        """Tell why the next token can neither continue nor close what `opening` began."""
        token = self.token
        if token.kind is Kind.END:
            return self.fault(opening, "this parenthesis is never closed; add )")
        if token.is_operator(*BARS):
            return self._stray_bar()
        if token.is_operator(":", "%in%", "~"):
            message = f"{token.value!r} cannot stand within a function; write * for a product"
            return self.fault(token, message)
        if token.is_operator("="):
            return self.fault(token, "'=' names an argument; write == for a comparison")
        if token.is_operator(","):
            return self.fault(token, "a comma separates arguments; close the parenthesis first")
        return self.fault(token, f"a comma or an operator is missing before {token.value!r}")

    def _stray_bar(self) -> FormulaError:
        message = "a bar cannot stand within a function; write the random term apart: (x | g)"
        return self.fault(self.token, message)


def _show_string(value: str) -> str:
    """Print a string so that the brackets and quotes in it cannot end anything around it."""
    escaped = "".join(f"\\x{ord(c):02x}" if c in "'\"`()[]" else c for c in value)
    return f"'{escaped}'"
