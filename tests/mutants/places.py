# SPDX-License-Identifier: MIT
"""
Every place of a C source at which one operator or constant can be flipped.

    a && b   a || b        a == b   a != b        a < b    a <= b       a > b    a >= b
    a + b    a - b         a << b   a >> b        a & b    a | b        a += b   a -= b
    a |= b   a &= b        a++      a--           !a       a            0 1      2 3 ...
    true     false

Left alone is what is no behaviour: comments, strings, preprocessor lines, attributes, and the arguments of
what only checks or tells (ASSERT, static_assert, panic, print). A star or an ampersand is an operator between two
operands where something ends before it. What that does not tell apart (a cast before a unary one) the compiler
does: what does not compile is no mutant.
"""

import dataclasses
import re

_TOKEN = re.compile(r'''
    (?P<skip>/\*.*?\*/|//[^\n]*|^[ \t]*\#(?:[^\n\\]|\\.)*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\s+)
  | (?P<number>0[xX][0-9a-fA-F]+[uUlL]*|[0-9]+[uUlL]*)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<mark><<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|[-+*/%&|^!~<>=?:;,.(){}\[\]])
''', re.X | re.S | re.M)

_SILENT = {'ASSERT', 'static_assert', '_Static_assert', 'panic', 'print', '__aligned', '__section', '__printf',
           '__has_attribute', '_Alignas', 'UINT64_C'}
_BINARY = {'&&': '||', '||': '&&', '==': '!=', '!=': '==', '<': '<=', '<=': '<', '>': '>=', '>=': '>', '+': '-',
           '-': '+', '<<': '>>', '>>': '<<', '&': '|', '|': '&', '+=': '-=', '-=': '+=', '|=': '&=', '&=': '|=',
           '++': '--', '--': '++'}
_WORDS = {'true': 'false', 'false': 'true'}
_NO_OPERAND = {'return', 'case', 'sizeof', 'goto', 'else', 'do', 'in'}


@dataclasses.dataclass(frozen=True)
class Flip:
    """The text from `start` to `end` becomes `new`."""
    start: int
    end: int
    old: str
    new: str


def _tokens(text):
    """(kind, text, start) of all tokens but white space, comments, strings and preprocessor lines."""
    for match in _TOKEN.finditer(text):
        if match.lastgroup != 'skip':
            yield match.lastgroup, match[0], match.start()
        elif match[0][0] in '"\'':
            yield 'string', match[0], match.start()


def _number(text):
    digits = text.rstrip('uUlL')
    value = int(digits, 0) if digits.lower().startswith('0x') else int(digits)
    return f'{value + 1:#x}{text[len(digits):]}' if digits.lower().startswith('0x') else \
        f'{value + 1 if value != 1 else 0}{text[len(digits):]}'


def _new(kind, token, ended):
    """What a token is flipped to, or None. `ended`: an operand ends before it."""
    if kind == 'number':
        return _number(token)
    if kind == 'word':
        return _WORDS.get(token)
    if token == '!':
        return ''
    if token in ('++', '--'):
        return _BINARY[token]
    return _BINARY.get(token) if ended else None


def places(text):
    """All flips of a source."""
    found, ended, silent, word = [], False, 0, ''
    for kind, token, start in _tokens(text):
        if silent or word in _SILENT and token == '(':
            silent += {'(': 1, ')': -1}.get(token, 0)
            word, ended = '', True
            continue
        new = _new(kind, token, ended) if kind != 'string' else None
        if new is not None:
            found.append(Flip(start, start + len(token), token, new))
        word = token if kind == 'word' else ''
        ended = kind in ('number', 'string') or token in (')', ']') or kind == 'word' and token not in _NO_OPERAND
    return found
