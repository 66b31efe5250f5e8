"""Patterns of program code and of prose, one line at a time (for `lib.judge.code_lines`)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lib.judge import code_families

# A prompt asks for code when it names code, a kind of program text, or a language. These compounds
# of everyday speech are taken out first.
EVERYDAY = re.compile(
    r"\b(?:dress|area|zip|postal|post|building|moral|penal|criminal|cheat|bar|qr|morse|discount"
    r"|honou?r) codes?\b"
    r"|\bcodes? of (?:conduct|ethics|honou?r)\b"
    r"|\b(?:tv|television|radio|exercise|training|workout|fitness|loyalty|degree|exchange|study"
    r"|diet|weight[- ]loss) program(?:me)?s?\b"
    r"|\b(?:movie|film|play|tv|theat(?:re|er)) scripts?\b"
    r"|\bfunctions? of the\b|\b(?:brain|body|kidney|liver) functions?\b",
    re.IGNORECASE,
)
ASKS = re.compile(
    r"\b(?:(?:pseudo)?codes?|coding|coded|functions?|scripts?|program(?:s|ming|med)?|templates?"
    r"|snippets?|algorithms?|regex(?:es)?|regular expressions?|implement(?:s|ed|ation)?|debug"
    r"|refactor|unit tests?|web ?(?:page|site|app)|api|compiler|command line|dockerfile|makefile"
    r"|python|javascript|typescript|java|rust|golang|kotlin|swift|php|perl|html|css|sql|json|yaml"
    r"|xml|latex|bash|powershell|shell)\b|\bc\+\+|\bc#|```",
    re.IGNORECASE,
)

FENCE = re.compile(r"^\s*(`{3,}|~{3,})\s*([\w+#.-]*)")
LANGUAGES = frozenset(  # the tags of a code block
    re.findall(
        r"\S+",
        "python py python3 javascript js jsx typescript ts tsx java c cpp c++ h hpp cs csharp c# "
        "go golang rust rs ruby rb php perl swift kotlin kt scala r matlab julia lua dart haskell "
        "sql mysql postgresql sqlite html css scss sass less vue svelte bash sh shell zsh "
        "powershell ps1 bat dockerfile makefile cmake asm assembly solidity vb graphql elixir "
        "clojure",
    )
)

# Parts of the patterns below.
_MODIFIER = (
    r"(?:(?:public|private|protected|static|final|abstract|override|virtual|async|export"
    r"|default|pub|inline|extern|unsigned|mut|const|readonly) )"
)
_TYPE = (
    r"(?:int|float|double|char|bool|boolean|void|String|long|short|byte|auto|size_t|i32|u32"
    r"|i64|u64|usize|f64|Integer|Object|[A-Z]\w*<[^>]*>)"
)
# A name and its bracket, unless it is a function of mathematics or a single letter, as in f(x).
_CALL = (
    r"(?<![\w$])(?!(?:sin|cos|tan|log|ln|exp|sqrt|lim|max|min|gcd|det|Pr|Var|Cov)\()"
    r"(?:[A-Za-z_$][\w$]+(?:(?:\.|::|->)\w+){0,9}!?|\w+(?:\.\w+){1,9})\("
)
_NAME = r"[A-Za-z_$@][\w$.]*(?:\[[^\]]*\])?"
_VALUE = (
    r"(?:[frb]?[\"'`]|\[|\{|new |lambda |not |await |True\b|False\b|None\b|null\b|true\b"
    rf"|false\b|.*{_CALL}|.*;\s*(?://.*)?$)"
)  # the right side of an assignment; that of a formula never looks like this
_TAG = (
    r"(?:html|head|body|div|span|p|a|h[1-6]|ul|ol|li|table|thead|tbody|tr|td|th|form|input"
    r"|button|script|style|link|meta|title|img|br|hr|nav|header|footer|section|main|article"
    r"|label|select|option|textarea|svg|path|canvas|template)"
)

_PYTHON = (
    r"^\s*(?:async )?def \w+\s*\(",
    r"^\s*class [A-Z_]\w*\s*(?:\(.*\))?\s*:\s*(?:#.*)?$",
    r"^\s*from [\w.]+ import [\w*(]",
    r"^\s*import [\w.]+(?: as \w+)?(?:, ?[\w.]+(?: as \w+)?)*\s*(?:#.*)?$",
    r"^\s*(?:if|elif|while) .*(?:[!=<>]=|[(\[]| [<>] | in | not | is | and | or ).*:\s*(?:#.*)?$",
    r"^\s*while (?:True|1):",
    r"^\s*for [\w, ()]+ in .+:\s*(?:#.*)?$",
    r"^\s*with .*\(.*\).*:\s*$",
    r"^\s*except\b[\w ,.()]*:\s*$",
    r"^\s*@\w+(?:\.\w+)*\(.*\)\s*$",
)
_STATEMENTS = (
    r"^\s*(?:(?:await|yield|return|raise|throw|new|go|defer|assert|delete|print|echo|puts|not) )*"
    rf"{_CALL}.*$",
    r"""^\s*(?:print|puts|echo) (?:-\w+ )?["'$]""",
    r"^\s*return (?:[^.]*[\[({=<>+*/\"'].*|True|False|None|null|true|false|-?\d+);?$",
    rf"^\s*{_NAME}(?:, ?{_NAME}){{0,9}}(?:\s*:\s*[\w\[\], |.]+)?\s*[-+*/|&]?= ?{_VALUE}",
    r"^\s*[\w.\[\]]*(?:\.|->)\w+(?:\[.*\])? [-+*/]?= \S",
    r"^\s*\w+ ?:= ?\S",
    r"^\s*[\w.]+(?:\[.*\])? <- .*[\w)]$",
    r"===|!==|&&|\|\||\+\+;|\$\{\w|\) ?=>|=> ?[{(]|\w!\(.*\)\s*;|<\?php|\?>",
)
_BRACES = (
    r"""^\s*import .+ from ['"]""",
    r"""^\s*import ['"(]""",
    r"^\s*import (?:static )?[\w.*]+;",
    r"^\s*(?:package|using|namespace|use) [\w.:\\*{}, ]+;",
    r"^\s*package \w+$",
    r"^\s*(?:export )?(?:async )?function\*? ?\w*\s*\(",
    r"^\s*(?:pub )?(?:unsafe )?fn \w+",
    r"^\s*func (?:\([^)]*\) )?\w+\(",
    r"^\s*let mut \w",
    r"^\s*@(?:Override|Test|Autowired)\b",
    rf"^\s*{_MODIFIER}*(?:const|let|var|val) [\w{{\[][\w, {{}}\[\]:<>&]* ?= ?\S",
    rf"^\s*{_MODIFIER}*{_TYPE}(?:\[\])*[ *&]+\w+\s*(?:\[.*\]\s*)?(?:=.*|;|\(.*)$",
    rf"^\s*{_MODIFIER}+(?:{_TYPE}|class|interface|struct|enum|fn|[A-Z]\w*)\b.*[{{;(,)]\s*$",
    r"^\s*(?:struct|enum|interface|trait|impl|namespace|class|type|mod)\b[^.!?]*\{\s*\}?;?\s*$",
    r"^\s*(?:\} )?(?:else )?(?:if|for|while|switch|match|catch)\b.*\{\s*$",
    r"^\s*(?:\} )?(?:else|do|try|finally|loop)\s*\{\s*$",
    r"^\s*\$\w+\s*(?:\[.*\])?\s*[.+-]?= ?\S",
)
_WEB = (
    r"^\s*[.#]?[A-Za-z@*:][\w\s.#:,>+~*\[\]=\"'()%-]*\{(?:\s*\}?\s*|[\s\w-]+:[^{}]*\}\s*)$",
    r"^\s*-{0,2}[a-z]+(?:-[a-z]+)*\s*:\s*[^:;]+;\s*(?:/\*.*\*/)?\s*$",
    rf"^\s*<(?:!DOCTYPE|/?(?:{_TAG}|[A-Z]\w+))\b[^<]*>?",
    rf"</{_TAG}>\s*$",
)
_QUERIES = (
    r"^\s*SELECT\b.*(?:[,;*(]|\bFROM\b|^\s*SELECT(?: DISTINCT)? [\w.]+\s*$)",
    r"^\s*(?:INSERT INTO|DELETE FROM|ALTER TABLE|TRUNCATE TABLE"
    r"|(?:CREATE(?: OR REPLACE)?|DROP) (?:TABLE|VIEW|INDEX|DATABASE|FUNCTION|PROCEDURE|TRIGGER))\b",
    r"^\s*UPDATE \w+(?:\s+SET\b.*)?\s*$",
    r"(?i)^\s*select (?:\*|.+\sfrom\s\w+.*;\s*$)",
    r"(?i)^\s*(?:insert into|delete from|create table|drop table|alter table) \w+.*[;(]\s*$",
    r"^\s*\w+ (?:INT|INTEGER|VARCHAR\(\d+\)|TEXT|DATE|TIMESTAMP|BOOLEAN|SERIAL)\b.*,?$",
)
_SHELL = (
    r"^\s*(?:sudo \w|apt(?:-get)? (?:install|update|upgrade|remove)|pip3? (?:install|uninstall)"
    r"|npm (?:install|i|run|start|init)|npx \w|yarn (?:add|install)|brew install|docker \w+"
    r"|git (?:clone|commit|push|pull|add|init|checkout|branch|merge|status|log)|systemctl \w+"
    r"|chmod [+\d]\w*|mkdir -?\w|rm -\w+|tar -?[a-z]+ |ssh \S+@|scp |(?:curl|wget) (?:-|http)"
    r"|export \w+=|source \S+/|python3? \S+\.py|grep -\w|sed -\w|awk '|find [./~]\S* -"
    r"|cd [\w./~$-]+$|(?:cp|mv) -?\S+ \S+$)",
    r"^\s*(?:if|while|elif) \[{1,2} .*\]",
    r"^\s*for \w+ in .*; ?do\b",
    r"\$\(\w+",
    r"^\s*[A-Z_]{2,}=[\"'$(/]\S*$",
    r"^\s*(?:FROM|RUN|CMD|COPY|ENTRYPOINT|WORKDIR) \S*[:\[/.=-]\S*",
)
# Lines that begin like a comment and are not one.
DIRECTIVE = re.compile(
    r"^\s*#(?:!\s*/|\s*(?:include|define|ifdef|ifndef|endif|pragma|undef)\b|\[\w"
    r"|[\w-]+[^{]*\{\s*$)"
)
SECTION = re.compile(r"^\[[\w. -]+\]\s*$")  # of a settings file (INI, TOML)
SETTING = re.compile(r"^\s*[\w.-]+ ?= ?[^({;]*$")
COMMENT = re.compile(r"^\s*(?:#|//|--\s|/\*|<!--|\"\"\"|''')")
_POSSIBLE = (
    r"^\s+\S",
    r"^\s*[\])}]",
    r"^\s*[\[({]+\s*$",
    r".*[{;(,\\\[]\s*$",
    r"^\s*(?:else|try|finally|do|then|fi|done|end|esac|pass|break|continue|BEGIN|END)\s*[:;{]?\s*$",
    r"^\s*(?:elif|else if|if|while|for|with|except|case|default)\b.*:\s*$",
    rf"^\s*{_NAME}(?:, ?{_NAME}){{0,9}}\s*[-+*/|&%]?= ?[^=].*$",
    r"^\s*(?:return|yield|await|del|global|nonlocal|assert|throw|raise)\b.{0,60}$",
    r"""^\s*[frb]?["'].*["'][,)\]};+]*\s*$""",
    r"^\s*\.?\w+\(",
    r"^\s*@\w+",
    r"(?i)^\s*(?:from|where|group by|order by|having|limit|(?:left |right |inner )?join|on|and|or"
    r"|set|values|union)\b.*[\w');]\s*$",
    r"^\s*(?:ls|cat|cd|echo|mkdir|rm|cp|mv|touch|exit|pwd|grep|node|python|make|kill|ps|sleep|set)"
    r"\b(?: [^ ]+){0,6}$",
)
# Prose, whatever its neighbours are.
_PROSE = (
    r"^\s*\d+[.)]\s",
    r"^\s*[•‣–—>]\s",
    r"^\s*[-*+]\s+[^\s{]",
    r"^\s*\|.*\|\s*$",
    r"^\s*\*\*.*\*\*",
    r"^\s*[A-Z][\w']*(?: [\w']+){0,2}:(?:\s|$)(?!.*[;{]\s*$)",  # a speaker, a step, a heading
    r"^\s*[\"'“‘(]?[A-Z][^={}<>;]*\s[^={}<>;]*[.!?…][\"'”’)]*\s*$",  # a sentence
    r"^\s*[A-Z][a-z]+(?: [a-z]+){2,}[,:]?\s*$",
    r"^\s*\$ ",
    r"\\(?:frac|sum|int|sqrt|cdot|times|left|begin|text)\b|^\s*\$\$|^\s*\$[^$]+\$\s*$",
    r"[√∑∫π≈≤≥×÷²³]",
    r"^[^=\"'();{}]*=[^=\"'();{}]*\^",
    # a function's name as the subject of a sentence
    r"^\s*`?[\w.]+\([^()]*\)`?(?:'s|’s)? (?!do\b|if\b|unless\b|for\b|in\b|and\b|or\b|not\b|is not\b"
    r"|else\b|while\b|as\b)[a-z]+,? [a-z]+",
)

# Four plain words or more in a row with one of these among them: prose, outside quotations and
# remarks. Key words of a language ("in", "is", "and", "for", "a") are not among them.
_PLAIN = r"the|an|of|to|that|how|your|their|they|was|were|are|you|its|what|this|does"
WORDS_IN_A_ROW = re.compile(
    rf"(?:^|[\s(])(?=(?:[A-Za-z][a-z'’]*,? ){{0,12}}(?:{_PLAIN})\b)(?:[A-Za-z][a-z'’]*,? ){{4}}"
)
QUOTED_OR_REMARK = re.compile(
    r"\"[^\"]*\"|`[^`]*`|(?<!\w)'[^']*'(?!\w)|>[^<>]*<|\s(?:#|//|--|/\*|;)\s.*$"
)


def _any_of(patterns: Iterable[str]) -> list[re.Pattern[str]]:
    """The compiled patterns."""
    return [re.compile(pattern) for pattern in patterns]


CERTAIN = _any_of(
    (*_PYTHON, *_STATEMENTS, *_BRACES, *_WEB, *_QUERIES, *_SHELL, *code_families.CERTAIN)
)
POSSIBLE = _any_of((*_POSSIBLE, *code_families.POSSIBLE))
PROSE = _any_of(_PROSE)
