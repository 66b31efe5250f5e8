"""Line patterns of program code by language family (joined in `lib.judge.code_patterns`).

`CERTAIN` lines are code by themselves. `POSSIBLE` lines are code only beside one that is. Words
that open an English line too ("global", "add", "module") are never certain by themselves.
"""

from __future__ import annotations

# Haskell, OCaml, F#, Lisp, Clojure, Scheme, Erlang, Elixir, Prolog
_FUNCTIONAL = (
    r"^\s*[\w']+(?:\(.*\)|, ?\w+)* :: ?[\w(\[]",  # also a declaration in Fortran
    r"^\s*module [A-Z][\w.]*(?: ?\(.*\))? where\b",
    r"^\s*import (?:qualified )?[A-Z][\w.]*(?: as \w+| hiding)?(?: ?\(.*\))?\s*$",
    r"^\s*(?:data|newtype) [A-Z]\w*(?: [a-z]\w*)* = [A-Z]",
    r"^\s*let (?:rec )?[\w()' :~]+ =\s*$",
    r"^\s*let \(\) =",
    r"^\s*match [\w.()]+ with\s*$",
    r"^\s*\((?:def\w* \S|println\b|setq |ns [\w.]|:require\b|lambda \()",
    r"^\s*\((?:if|when|let\*?|letrec|loop|cond|map|filter|display|fn) [(\[]",
    r"^\s*-(?:module|export|import|record|define|behaviou?r)\(.*\)\.\s*$",
    r"\w\) :- |^\s*\?- |^\s*:- \w",
    r"^\s*\w+:\w+\(",
    r"^\s*def(?:module|p|macro|struct) [\w.:]+",
    r"(?<!\w)\|> ?(?:\w|$)|%>%",
)
# Ruby, Lua, Julia
_ENDING_IN_END = (
    r"\bdo \|[\w, ()*&]+\|\s*$|\{ ?\|[\w, ]+\| ",
    r"^\s*(?:attr_\w+|require|require_relative|has_many|belongs_to|validates) [:'\"]",
    r"^\s*def (?:self\.)?\w+[?!=]?\s*(?:$|\()",
    r"^\s*[@\w.\[\]]+ << (?!.*>>)\S",
    r"%[wi]\[\w",
    r"^\s*puts [A-Za-z_@]\w*(?:[.\[]\w|$)",
    r"^\s*local (?:function )?\w+(?:, ?\w+)* ?[=(]",
    r"^\s*(?:local )?function [\w.:]+\s*\(",
    r"^\s*for \w+(?:, ?\w+)* (?:in|=) .+ do\s*$",
    r"^\s*(?:if|elseif|while|until|for|unless) .*[=<>~()#\[].* (?:then|do)\s*$",
)
# C++, C#, Java, Swift, Go, Solidity and their like
_CLASSES = (
    r"^\s*template\s*<",
    r"\b\w+::\w+",
    r"\{ get; |^\s*(?:get|set);",
    r"^\s*@\w+ (?:private |public )*(?:var|let|func)\b",
    r"^\s*\w+(?:, ?\w+)* := ",
    r"^\s*type \w+ (?:struct|interface|func)\b",
    r"^\s*[a-z_]\w*(?:\[.*\])?(?:\+\+|--);?\s*$",
    r" \? .+ : .+;\s*$",
    r"^\s*[$@]\w[\w-]*:\s.+;\s*$",  # a variable of a style sheet
    r"^\s*&[:.\w-]+.*\{\s*$",
    r"\s(?:@click|v-\w+|on[a-z]+|className|:key)=[\"{]",
)
# Pascal, Visual Basic, Fortran, COBOL
_OLDER = (
    r"(?i)^\s*end ?(?:if|do|for|while|case|sub|function|program|module|procedure|class|select"
    r"|subroutine)(?: \w+)?[.;]?\s*$",
    r"(?i)^\s*dim \w+(?:\(.*\))? as \w+",
    r"^\s*(?:Public |Private )?(?:Sub|Function) \w+\(.*\)(?: As \w+)?\s*$",
    r"^\s*For \w+ = .+ To \S|^\s*For Each \w+ In \S",
    r"^\s*(?:MsgBox|InputBox) \S",
    r"(?i)^\s*implicit none\s*$",
    r"(?i)^\s*(?:print|write|read) ?(?:\*,|\(\*)",
    r"(?i)^\s*do \w+ = .+,.+",
    r"(?i)^\s*(?:writeln|readln)\b",
    r"^\s*(?:program|unit|uses) [\w, ]+;\s*$",
    r"(?i)^\s*\w+(?:, ?\w+)* ?: ?(?:integer|real|string|boolean|char|array\b.*);\s*$",
    r"^\s*(?:IDENTIFICATION|DATA|PROCEDURE|ENVIRONMENT) DIVISION\.|^\s*PROGRAM-ID\.",
    r"^\s*\d\d [A-Z-]+ PIC ",
)
_REGISTER = r"(?:%?[er]?[a-d][xhl]|%?[er]?(?:si|di|sp|bp|ip)|%?[rxw]\d+[dwb]?|\$[a-z]\d|\[)"
_MNEMONIC = (
    r"(?:mov|lea|add|sub|i?mul|i?div|inc|dec|cmp|test|and|or|xor|not|neg|sh[lr]|push|pop|call|jmp"
    r"|j[a-z]{1,2}|loop|int|ld[rm]|st[rm]|adds|subs|b|bl|bx|beq|bne|li|la|lw|sw|addi)[lqwb]?"
)
_ASSEMBLY = (
    rf"^\s*(?:\w+:\s*)?{_MNEMONIC}\s+{_REGISTER}.*,\s*\S",
    r"^\s*int 0x[0-9a-f]+",
    r"^\s*section \.\w+",
    r"^\s*\.(?:globl|global|text|data|section|asciz?|ascii|word|align)\b",
    r"^\s*\w+:?\s+d[bwdq] (?:[\"'\d]|0x)",
)
# Make, Docker, Terraform
_BUILDS = (
    r"^\.PHONY:",
    r"^\t@?(?:\$\(|(?:gcc|g\+\+|cc|clang|rm|mkdir|cp|mv|echo|touch|cargo|npm|go|python3?) \S)",
    r"(?:^|[\s\"])\$[@<^](?:[\s\"]|$)",
    r"^\s*(?:EXPOSE \d+|ENV \w+[= ]\S+|ARG [A-Z_]+=?\S*|USER [a-z]\w*)\s*$",
    r"^\s*(?:resource|provider|variable|module|output|data)(?: \"[\w-]+\"){1,2} \{\s*$",
)
_COMMANDS = (
    r"^\s*(?:kill -\w|chown \w|ln -s|df -|du -|ps (?:aux|-\w)|openssl \w|rsync -|unzip \S+\.zip"
    r"|make (?:install|clean|-\w)|cargo (?:run|build|new|test)\b|go (?:run|build|get|mod) [\w.]"
    r"|kubectl \w|terraform (?:init|apply|plan)\b|conda (?:install|create|activate) "
    r"|python3? -\w|node \S+\.js|javac? \S*[.-]\S|gcc -?\S+|\.\.?/\w[\w./-]*(?: -|\s*$)"
    r"|(?:cat|less|head|tail|touch|open|nano|vim?|bash|sh|rm|wc|sort) (?:-\S+ )*\S*\w[./]\w+\s*"
    r"(?:[#|>&].*)?$"
    r"|ls -\w|echo .+ >>? ?\S|crontab -|service \w+ (?:start|stop|restart)|nohup \S|set -[a-z]+\s*$"
    r"|alias \w+=|@echo (?:off|on)\b|set (?:/[ap] )?\w+=)",
    r"^\s*[a-z.~][\w./~-]*(?: [\w./:=@~-]+){0,3} --[a-z][\w-]*(?:[= ]\S+){0,3}\s*$",
    r"\| ?(?:grep|wc|sort|head|tail|awk|sed|jq|xargs|tee|cut|uniq|less|tr|sh|bash)\b",
    r"\| ?(?:Out|Where|ForEach|Select|Sort)-[A-Z]\w+",
    r"(?:^|\s)(?:2>&1|[12&]?> ?/dev/null)|\w >>? \S+\.\w+\s*$",
    r"^\s*case .+ in\s*$|;;\s*$",
    r"\"\$[\w@*]+\"|\[ .* -(?:eq|ne|lt|gt|le|ge) ",
    r"^\s*(?:Get|Set|New|Remove|Write|Start|Stop|Add|Import|Export|Invoke|Test|Install|Copy|Move)"
    r"-[A-Z]\w{3,}(?:\s*$| [-\"'$@(|]| \S+ -)",
    r"\$_\.\w|\$\w+ -(?:eq|ne|like|match|gt|lt) ",
    r"%[A-Z_]{2,}%",
)
_QUERIES = (
    r"^\s*WITH \w+ AS \(",
    r"^\s*(?:GRANT|REVOKE) [A-Z, ]+ ON \w",
    r"^\s*(?:(?:INNER|LEFT|RIGHT|OUTER) )*JOIN \w+(?: \w+)? ON \w",
)
CERTAIN = (
    *_FUNCTIONAL,
    *_ENDING_IN_END,
    *_CLASSES,
    *_OLDER,
    *_ASSEMBLY,
    *_BUILDS,
    *_COMMANDS,
    *_QUERIES,
)
POSSIBLE = (
    r"^\s*\| .+ (?:=|->) ",
    r"^\s*[a-z]\w*'?(?: [\w'()\[\]:]+){1,6} = \S",  # one case of a function
    r"^\s*\(+[a-z][\w!?*<>=/+-]* .*[)\]]\s*$",
    r"^\s*module [A-Z]\w*\s*$",
    r"^\s*(?:using|use) [A-Z][\w.:]*;?\s*$",
    r"^\s*(?:global|extern|globl) \w+\s*$",
    r"^\s*[.\w]+:\s*$",  # a label
    r"^[\w.%/-]+(?: [\w.%/-]+)*\s*:(?: [\w.%$()/-]+)*\s*$",  # a target of make
    rf"^\s*(?:\w+:\s*)?(?:{_MNEMONIC} [\w.\[\]%$#=]+|ret|nop|syscall|leave)\s*(?:;.*)?$",
    r"^\s*[A-Z]\w*(?:<[\w<>, ]+>)?[*&]? [*&]?\w+(?:\(.*\))?(?: = .+)?;\s*$",
    r"^\s*(?:var|begin|repeat|until .+;|Next(?: \w)?|reboot|clear|history)\s*$",
    r"^\s*(?:goto :?\w+|:\w+|program \w+|subroutine \w+(?:\(.*\))?)\s*$",
    r"^\s*(?:;|%|\(\*|\{-|REM )",  # comments
    r"\s{2,}# \S",
    r"[a-z_]\w*\.\w+[?!]\s*$",
    r" (?:if|unless) [\w.]+\?\s*$",
    r"^\s*\[\w+(?:\(.*\))?\]\s*$",
    r"\{\{.*\}\}",
    r"^\s*(?:DISPLAY|MOVE|PERFORM|ADD|COMPUTE|STOP RUN)\b.*\.?\s*$",
)
