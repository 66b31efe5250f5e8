"""Whether an answer is program code although the prompt asks for none, by rules.

Fitted judges read no rubric and use these rules for the flag `code`. Source: docs/protocol.md
section 5. An answer is code if more than half of its non-blank lines are program code: of a
programming, markup, style, query or shell language. Data (JSON, YAML, tables), formulas, verse,
lists, dialogue and the output of a shell are not code. The fence marks of a code block are not
counted.

A line is certain, possible or neither. A possible line (a comment, a bracket, `x = 1`, `else:`)
counts only next to a line of code. So a formula between sentences is not code, and a comment
between statements is.
"""

from __future__ import annotations

from lib.judge.code_patterns import (
    ASKS,
    CERTAIN,
    COMMENT,
    DIRECTIVE,
    EVERYDAY,
    FENCE,
    LANGUAGES,
    POSSIBLE,
    PROSE,
    QUOTED_OR_REMARK,
    SECTION,
    SETTING,
    WORDS_IN_A_ROW,
)

LONGEST = 2000  # characters of a line that are read


def asks_for_code(prompt: str) -> bool:
    """Whether a prompt asks for code: it names code, a kind of program text, or a language."""
    return bool(ASKS.search(EVERYDAY.sub(" ", prompt)))


def is_code(prompt: str, completion: str) -> bool:
    """The flag `code`: more than half of the non-blank lines are code that nobody asked for."""
    if asks_for_code(prompt):
        return False
    marks = line_marks(completion)
    return sum(marks) * 2 > len(marks)


def line_marks(text: str) -> list[bool]:
    """For each non-blank line, without fence marks, whether it is program code."""
    marks: list[bool] = []
    for tag, lines in _blocks(text):
        of_block = [True] * len(lines) if tag.lower() in LANGUAGES else _plain_marks(lines)
        if tag and sum(of_block) * 2 > len(of_block):
            of_block = [True] * len(lines)  # a block that is mostly code is all code
        marks += of_block
    return marks


def _blocks(text: str) -> list[tuple[str, list[str]]]:
    """Runs of non-blank lines with the tag of their code block: "" outside, "?" without a tag."""
    blocks: list[tuple[str, list[str]]] = [("", [])]
    fence = ""
    for line in text.splitlines():
        mark = FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
            blocks.append((mark[2] or "?", []))
        elif mark and mark[1].startswith(fence) and not mark[2]:
            fence = ""
            blocks.append(("", []))
        elif line.strip():
            blocks[-1][1].append(line[:LONGEST])
    return blocks


def _plain_marks(lines: list[str]) -> list[bool]:
    """Which lines are code, by their own form and by their neighbours."""
    kinds = [_kind(line, quoted) for line, quoted in zip(lines, _quoted(lines), strict=True)]
    for k in _settings(lines):
        kinds[k] = "neither"
    code = [kind == "certain" for kind in kinds]
    for order in (range(len(lines)), reversed(range(len(lines)))):
        for k in order:
            neighbours = code[max(k - 1, 0) : k] + code[k + 1 : k + 2]
            code[k] = code[k] or (kinds[k] == "possible" and any(neighbours))
    return code


def _kind(line: str, quoted: bool) -> str:
    """certain, possible or neither.

    quoted: whether the line is within a quotation or comment that an earlier line opened.
    """
    if DIRECTIVE.match(line):
        return "certain"
    if quoted or COMMENT.match(line):
        return "possible"
    if any(pattern.search(line) for pattern in PROSE) or _has_plain_words(line):
        return "neither"
    if any(pattern.search(line) for pattern in CERTAIN):
        return "certain"
    return "possible" if any(pattern.search(line) for pattern in POSSIBLE) else "neither"


def _settings(lines: list[str]) -> list[int]:
    """The indices of lines that belong to a settings file (INI, TOML), which is data."""
    indices: list[int] = []
    within = False
    for k, line in enumerate(lines):
        within = bool(SECTION.match(line)) or (within and bool(SETTING.match(line)))
        if within:
            indices.append(k)
    return indices


def _has_plain_words(line: str) -> bool:
    """Whether a line has several plain English words in a row, outside quotations and remarks."""
    if not WORDS_IN_A_ROW.search(line):
        return False
    return bool(WORDS_IN_A_ROW.search(QUOTED_OR_REMARK.sub(" ", line)))


def _quoted(lines: list[str]) -> list[bool]:
    """Which lines are within a triple-quoted text or a block comment opened earlier."""
    quoted: list[bool] = []
    end = ""
    for line in lines:
        quoted.append(bool(end))
        if end:
            end = "" if end in line else end
            continue
        for opening, closing in (('"""', '"""'), ("'''", "'''"), ("/*", "*/"), ("<!--", "-->")):
            if opening in line and closing not in line.split(opening, 1)[1]:
                end = closing
                break
    return quoted
