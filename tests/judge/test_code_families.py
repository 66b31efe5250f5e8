"""The flag `code`: languages beyond the common ones, and what resembles each of them."""

import json

import pytest

from lib.config.params import ROOT
from lib.judge.code_lines import is_code

PROMPT = "I have nothing to do tonight. Any ideas?"
ITEMS = ROOT / "lib" / "judge" / "items"
CODE = {
    "haskell": [
        "module Walk where\n\nsteps :: Int -> Int\nsteps n = n * 1300",
        "data Tea = Black | Green\nbrew :: Tea -> Int\nbrew Black = 4\nbrew Green = 2",
        "import Data.Char (toUpper)\nshout :: String -> String\nshout = map toUpper",
    ],
    "lisp": [
        '(defn greet [name]\n  (str "Hello " name))\n(println (greet "Ann"))',
        "(define (twice x)\n  (* 2 x))\n(display (twice 4))",
        "(let ((a 1) (b 2))\n  (setq c (+ a b))\n  (print c))",
    ],
    "ocaml and erlang": [
        "let rec count n =\n  if n = 0 then [] else n :: count (n - 1)",
        '-module(tea).\n-export([brew/1]).\nbrew(Cups) -> io:format("~p~n", [Cups]).',
        "likes(ann, tea).\nhappy(X) :- likes(X, tea).\n?- happy(ann).",
    ],
    "ruby": [
        "bag = %w[tea cake]\nbag.each do |thing|\n  puts thing\nend",
        "list << :tea\nlist << :cake\nputs list.size",
        "module Tea\n  attr_reader :cups\n  def brew!\n    @cups += 1\n  end\nend",
    ],
    "lua": [
        "local cups = {1, 2}\nfor i, cup in ipairs(cups) do\n  print(cup)\nend",
        "local function brew(n)\n  return n * 2\nend",
        "if cups == 3 then\n  drink(cups)\nelseif cups > 3 then\n  share(cups)\nend",
    ],
    "c++": [
        "template <typename T>\nT twice(T x) {\n  return x + x;\n}",
        "std::vector<int> cups;\ncups.push_back(3);\nstd::cout << cups.size();",
        "class Pot {\npublic:\n  Pot();\nprivate:\n  int cups_;\n};",
    ],
    "assembly": [
        'section .data\nmsg db "tea", 10\nsection .text\nglobal _start\n_start:\n    mov eax, 4\n'
        "    int 0x80",
        "push rbp\nmov rbp, rsp\nxor eax, eax\npop rbp\nret",
        "loop:\n    subs r1, r1, #1\n    bne loop\n    bx lr",
    ],
    "shell": [
        "sleep 5\ncat plan.txt\ncd ~/park && ./walk --fast",
        "ls -la /srv\ndf -h\ncat list.csv | sort | uniq",
        "./configure --prefix=/usr\nmake install\ncurl -s http://localhost:80",
    ],
    "make": [
        "all: tea\n\ntea: tea.o\n\tcc -o tea tea.o\n\n.PHONY: all",
        "OUT = tea\n$(OUT): main.c\n\t$(CC) -o $@ $^",
        "clean:\n\trm -f *.o\n\ttouch clean",
    ],
    "powershell and batch": [
        '$cups = Get-Content cups.txt\nWrite-Output "$cups"\nRemove-Item cups.txt',
        "Get-Process | Where-Object { $_.CPU -gt 10 }\nStop-Process -Name tea",
        "@echo off\nset CUPS=3\nif %CUPS% EQU 3 goto drink\n:drink\npause",
    ],
    "basic, pascal, fortran": [
        "Dim cups As Integer\nFor i = 1 To 3\n    cups = cups + 1\nNext i\nMsgBox cups",
        "program Tea;\nvar\n  cups: integer;\nbegin\n  writeln('tea');\nend.",
        "implicit none\ninteger :: cups\ndo i = 1, 3\n  print *, i\nend do",
    ],
}
PROSE = {
    "a function's name as the subject": [
        "print() is the command that shows something on a screen.",
        "malloc() asks the machine for memory, and free() gives it back.",
        "console.log() writes a line for the people who look for a mistake.",
    ],
    "a command's name as the subject": [
        "git commit is how you keep a picture of your work.",
        "docker compose starts what the file lists, in the order that you gave.",
        "sudo means that you ask the machine as its owner.",
    ],
    "words of assembly and basic": [
        "add salt, pepper\nmix, then rest\ncall a friend",
        "dim lights\nend of the day\nnext morning",
        "global warming\nmodule one\nsection two",
    ],
    "words of lua and ruby": [
        "local prices are high\nlocal shops do well",
        "if only you had the time to do",
        "for all the things that we do",
    ],
    "brackets": [
        "(enters the room)\n(she sits down)\n(a bell)",
        "(if you like)\n(when it rains)\n(let it be)",
        "[Verse]\nlight on the sea\n[Chorus]\nlight on the hill",
    ],
    "settings": [
        "[sound]\nvolume = 70\nmuted = false",
        "[user]\nname = Ann\n[theme]\ndark = true\nlarge = true",
        "[lamp]\non = true\nhour = 22",
    ],
    "words with a colon": [
        "all: bread and cheese\nann: the map\nben: the tent",
        "port: left\nlee: away from the wind",
        "private: no entry\npublic: come in",
    ],
}


def flat(kinds: dict[str, list[str]]) -> list:
    cases = []
    for kind, texts in kinds.items():
        cases += [pytest.param(text, id=f"{kind} {k}") for k, text in enumerate(texts)]
    return cases


@pytest.mark.parametrize("text", flat(CODE))
def test_code_of_a_family(text):
    assert is_code(PROMPT, text)


@pytest.mark.parametrize("text", flat(PROSE))
def test_what_resembles_a_family(text):
    assert not is_code(PROMPT, text)


@pytest.mark.parametrize("name", ["code", "code_held_out"])
def test_f1_on_authored_items(name):
    rows = [json.loads(line) for line in (ITEMS / f"{name}.jsonl").open(encoding="utf-8")]
    called = [is_code(row["prompt"], row["answer"]) for row in rows]
    hits = sum(flag and row["code"] for flag, row in zip(called, rows, strict=True))
    assert len(rows) >= 170
    assert 2 * hits / (sum(called) + sum(row["code"] for row in rows)) >= 0.97


def test_three_kinds_of_remark_do_not_hide_code():
    for mark in ("#", "//", "--"):
        text = f"{mark} This says what the next line does.\nx = compute(1)\ny = compute(2)"
        assert is_code(PROMPT, text)
