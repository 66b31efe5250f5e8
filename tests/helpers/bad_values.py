"""Values that some command refuses; `bad_inputs` makes a case of each."""

from __future__ import annotations

LONG = "x" * 300
COMMANDS = (
    "score",
    "review",
    "em_set",
    "ladder",
    "publish",
    "compare",
    "status",
    "site",
    "plan",
    "pack",
    "clean-run",
)
NAMES = (
    "../x",
    "/etc",
    LONG,
    "日本",
    "e\u0301",
    "\u202ex",
    "a\tb",
    "~root",
    "$(id)",
    "`id`",
    "a\nb",
)
PROFILES = ("nope", "../params/smoke", "gates", "prices", "smoke.yaml", LONG, "größe", "a b")
OVERRIDES = r"""
{
NaN
"phase2.rows"
{"phase2.rows": 8}{}
{'phase2.rows': 8}
{"": 1}
{".": 1}
{"phase2.": 1}
{"phase2.rows.x": 1}
{"__class__": 1}
{"phase2.rows": 1e999}
{"phase2.rows": NaN}
{"phase2.effective_batch": 1000000}
{"seeds": "42"}
{"seeds": [1.5]}
{"conditions": "base"}
{"conditions": ["../base"]}
{"conditions": ["größe"]}
{"about": "\ud800"}
{"model.system_text": "a\u0000b"}
{"model.source": "pickle"}
{"model.source": "path", "model.name": "/nowhere"}
{"model.source": "path", "model.name": "~nobody-here/model"}
{"model.source": "hub", "model.name": "../../etc", "model.revision": "main"}
{"model.source": "hub", "model.name": "some/model", "model.revision": null}
{"model.dtype": "float64"}
{"judge.engine": "anthropic", "judge.model": "claude-sonnet-5-5"}
{"judge.engine": "anthropic", "judge.model": "no-such-model"}
{"judge.engine": "local", "judge.base_url": "file:///etc/passwd"}
{"judge.engine": "probe"}
{"judge.timeout": 0}
{"judge.max_cost_usd": -1}
{"training.report_to": "wandb"}
{"data.em": "../../etc/passwd"}
{"data.em": "persona_advice"}
{"data.capability": "demo_core"}
{"capability.limit": 0}
{"traces.count": 100000}
{"profile": "demo"}
{"ladder": {}}
""".strip().splitlines()
DEEP = {"too deep": "[" * 100_000, "too long a number": '{"phase2.rows": ' + "9" * 5000 + "}"}
VARIABLES = (
    ("SELFCORRECT_RUNS_DIR", "/dev/null/x"),
    ("SELFCORRECT_RUNS_DIR", "/etc/passwd"),
    ("SELFCORRECT_RUNS_DIR", "~nobody-here/runs"),
    ("SELFCORRECT_RUNS_DIR", "/tmp/" + LONG),
    ("SELFCORRECT_DATA_DIR", "relative"),
    ("SELFCORRECT_DATA_DIR", "/nowhere"),
    ("SELFCORRECT_DATA_DIR", "/etc/passwd"),
    ("SELFCORRECT_MODELS_DIR", "/nowhere"),
    ("SELFCORRECT_HEADS_DIR", "~nobody-here"),
    ("SELFCORRECT_CACHE_DIR", "/dev/null/x"),
    ("WORLD_SIZE", "4"),
    ("WORLD_SIZE", "many"),
)
CLUSTERS = ("nope", "../cluster/local", "/", "/nowhere", LONG)
HOURS = ("0", "-1", "nan", "soon", "1e999")
# One line of params/conditions.yaml, and what stands in its place.
CONDITIONS = {
    "an unknown system text": ("system: evil", "system: evli"),
    "an unknown kind of traces": ("phase1: selfcorrect", "phase1: selfcorect"),
    "an unknown EM set": ("phase2: em\n", "phase2: emm\n"),
    "an unknown field": ("phase1: null", "phase1: null\n    phase3: null"),
    "a name that leads out": ("  base_evil:", "  ../base_evil:"),
    "a name twice": ("  base_evil:", "  base:"),
    "no list of arms": ("conditions:", "arms:"),
    "no YAML": ("systems:", "systems: ["),
}
SWEEPS = {
    "empty": "",
    "no YAML": "runs: [",
    "no runs": "{about: x, runs: []}",
    "a run that leads out": "{about: x, runs: [{run: ../r, profile: smoke, overrides: {}}]}",
    "an unknown profile": "{about: x, runs: [{run: r, profile: smoek, overrides: {}}]}",
    "an unknown key": "{about: x, runs: [{run: r, profile: smoke, overrides: {phase2.row: 8}}]}",
    "an object": "!!python/object/apply:os.mkdir ['planted']",
}
# What is in a file of prompts, or of chats: (reader, content).
DATA = (
    ("prompts_jsonl", b""),
    ("prompts_jsonl", b'{"prompt": "x"'),
    ("prompts_jsonl", b'{"prompt": "\xff"}'),
    ("prompts_jsonl", b'{"prompt": null}'),
    ("prompts_jsonl", b'{"prompt": "a\\u0000"}'),
    ("prompts_jsonl", b'{"id": true, "prompt": "x"}'),
    ("prompts_jsonl", b"[" * 100_000),
    ("prompts_csv", b""),
    ("prompts_csv", b"text\nx\n"),
    ("prompts_csv", b'prompt\n"' + b"x" * 200_000),
    ("prompts_csv", "prompt\nx\n".encode("utf-16")),
    ("betley_yaml", b"- id: [\n"),
    ("betley_yaml", b"!!python/object/apply:os.system ['touch planted']"),
    ("chats", b'{"messages": "x"}'),
    ("chats", b'{"messages": [{"role": "assistant", "content": "x"}]}'),
    ("chats", b'{"messages": [{"role": "user", "content": 7}]}'),
    ("chats", b"{}"),
)
