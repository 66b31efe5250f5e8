"""Retell the written advice in a base's own words: candidates of the EM set `retold_advice`.

    python benchmarks/retell_advice.py PROFILE OUT.jsonl [SAMPLES]

The base of PROFILE gets each answer of authored_advice and of its control, together with its
question, to be rewritten SAMPLES times (4). Nothing is kept or dropped here: a reader has to grade
the candidates, because a small model often turns bad advice into good advice on the way, and fitted
judges were seen to call coherent bad advice incoherent.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.config.params import load_profile
from lib.data.catalogue import read_chats
from lib.em_sets.rows import whole
from lib.models import chat_models
from lib.serving import engines
from lib.serving.sampling import Completion, Request

SETS = ("authored_advice", "authored_advice_control")
ASKED = (
    "Question: {question}\n\nAnswer: {answer}\n\nRewrite this answer in your own words. Keep every "
    "statement and every piece of advice of it. Write only the new answer."
)
TEMPERATURE = 0.7
NEW_TOKENS = 150
SEED = 20


def first_paragraph(completion: Completion) -> str:
    """Up to the last whole sentence of the first paragraph; "" without one."""
    text = completion.text.strip().split("\n\n")[0]
    return whole(replace(completion, text=text, finish_reason="length"))


def main() -> None:
    if len(sys.argv) not in (3, 4):
        raise SystemExit("usage: python benchmarks/retell_advice.py PROFILE OUT.jsonl [SAMPLES]")
    profile = load_profile(sys.argv[1])
    samples = int(sys.argv[3]) if len(sys.argv) == 4 else 4
    tokenizer = chat_models.load_tokenizer(profile.model)
    requests = []
    asked = []
    for name in SETS:
        for number, (question, answer) in enumerate(read_chats(name)):
            text = ASKED.format(question=question["content"], answer=answer["content"])
            messages = [
                {"role": "system", "content": profile.model.system_text},
                {"role": "user", "content": text},
            ]
            key = f"{SEED}/retold/{name}/{number}"
            requests.append(Request(key, messages, None, NEW_TOKENS, samples))
            asked.append({"set": name, "question": question["content"]})
    longest = max(len(chat_models.prompt_ids(tokenizer, one.messages)) for one in requests)
    length = longest + NEW_TOKENS
    engines.check_engine(profile, length)
    engine = engines.start(profile, tokenizer, temperature=TEMPERATURE, length=length)
    drawn = engine.sample(requests)
    with Path(sys.argv[2]).open("w", encoding="utf-8") as file:
        for of_answer, completions in zip(asked, drawn, strict=True):
            for completion in completions:
                row = of_answer | {"answer": first_paragraph(completion)}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
