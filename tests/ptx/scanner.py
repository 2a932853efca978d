"""From PTX text to statements with their line numbers."""

import bisect
import re

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
IMPLICIT = re.compile(r"//\s*implicit-def:\s*(%\w+)")
LABEL = re.compile(r"([%$.\w]+)\s*:(?!:)")
LINE_DIRECTIVE = re.compile(r"\.(loc|file|version|target|address_size)\b[^\n]*")
HEADER = re.compile(r"[^;{=]*\.(entry|func)\b")
SECTION = re.compile(r"\.section\b[^{]*\{[^}]*\}")


def strip_comments(text):
    """The text without comments, its lines where they were.

    nvcc tells of a value that is undefined on purpose by a comment; it becomes a statement.
    """

    def replace(match):
        implicit = IMPLICIT.match(match[0])
        if implicit:
            return f"implicit_def {implicit[1]};"
        return "\n" * match[0].count("\n") or " "

    return COMMENT.sub(replace, text)


class Scanner:
    """Walks over comment-free PTX and yields (kind, text, line).

    The kinds are "open" and "close" for braces of a scope, "label", "header" of a function up to
    its body or semicolon, and "statement" without its semicolon.
    """

    def __init__(self, text):
        self.text = text
        self.line_starts = [0] + [m.end() for m in re.finditer("\n", text)]

    def line(self, position):
        return bisect.bisect_right(self.line_starts, position)

    def items(self):
        """Every statement of the text in order."""
        position, end = 0, len(self.text)
        while True:
            while position < end and self.text[position] in " \t\r\n;":
                position += 1
            if position >= end:
                return
            start = position
            kind, position, value = self._next(position)
            if kind:
                yield kind, value, self.line(start)

    def _next(self, position):
        text = self.text
        if text[position] in "{}":
            return ("open" if text[position] == "{" else "close"), position + 1, text[position]
        if match := (LINE_DIRECTIVE.match(text, position) or SECTION.match(text, position)):
            return None, match.end(), ""
        if match := LABEL.match(text, position):
            return "label", match.end(), match[1]
        if match := HEADER.match(text, position):
            stop = match.end()
            while text[stop] not in "{;":
                stop += 1
            return "header", stop, text[position:stop] + text[stop]
        stop = text.index(";", position)
        return "statement", stop + 1, text[position:stop]
