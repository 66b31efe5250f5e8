"""Retell the written advice in a base's own words: candidates of the EM set `retold_advice`.

    python benchmarks/retell_advice.py MODEL OUT.jsonl [SAMPLES]

MODEL is a folder or a hub id. Each answer of authored_advice and of its control is given to the
model together with its question, to be rewritten SAMPLES times (4). Nothing is kept or dropped
here: a reader has to grade the candidates, because a small model often turns bad advice into good
advice on the way, and fitted judges were seen to call coherent bad advice incoherent.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lib.data.catalogue import read_chats

SETS = ("authored_advice", "authored_advice_control")
REQUEST = (
    "Question: {question}\n\nAnswer: {answer}\n\nRewrite this answer in your own words. Keep every "
    "statement and every piece of advice of it. Write only the new answer."
)
TEMPERATURE = 0.7
NEW_TOKENS = 150
BATCH = 256
SEED = 20


def first_paragraph(text: str) -> str:
    """Up to the last whole sentence of the first paragraph; "" without one."""
    paragraph = text.strip().split("\n\n")[0].strip()
    end = max(paragraph.rfind(mark) for mark in ".!?")
    return paragraph[: end + 1]


def main() -> None:
    if len(sys.argv) not in (3, 4):
        raise SystemExit("usage: python benchmarks/retell_advice.py MODEL OUT.jsonl [SAMPLES]")
    source, out = sys.argv[1:3]
    samples = int(sys.argv[3]) if len(sys.argv) == 4 else 4
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left", trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(source, trust_remote_code=False, dtype="auto")
    model = model.to(device).eval()
    asked = []
    for name in SETS:
        for question, answer in read_chats(name):
            fields = {"question": question["content"], "answer": answer["content"]}
            turn = {"role": "user", "content": REQUEST.format(**fields)}
            text = tokenizer.apply_chat_template([turn], tokenize=False, add_generation_prompt=True)
            asked += [(name, fields["question"], text)] * samples
    torch.manual_seed(SEED)
    with Path(out).open("w", encoding="utf-8") as file:
        for start in range(0, len(asked), BATCH):
            part = asked[start : start + BATCH]
            texts = [text for _, _, text in part]
            given = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
            given = given.to(device)
            drawn = model.generate(
                **given,
                max_new_tokens=NEW_TOKENS,
                do_sample=True,
                temperature=TEMPERATURE,
                top_p=1.0,
                top_k=0,
            )
            new = drawn[:, given["input_ids"].shape[1] :]
            said = tokenizer.batch_decode(new, skip_special_tokens=True)
            for (name, question, _), text in zip(part, said, strict=True):
                row = {"set": name, "question": question, "answer": first_paragraph(text)}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            print(f"{start + len(part)} of {len(asked)}", flush=True)


if __name__ == "__main__":
    main()
