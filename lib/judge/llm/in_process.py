"""A Hugging Face chat model as judge, loaded in this process, for machines without a server.

Rubric and outcomes are the same as Claude's. Nothing forces the output into the schema, so a small
model's answers may often not parse. A server that follows a JSON schema (`lib.judge.llm.endpoint`)
wastes none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib.config.measurement import JudgeParams
from lib.config.recipes import ModelParams
from lib.judge.llm import rubric
from lib.judge.llm.endpoint import read_reply
from lib.judge.llm.limits import Budget, Unusable
from lib.judge.llm.prices import UNMETERED
from lib.judge.llm.realtime import Request
from lib.judge.llm.scoring import RubricJudge
from lib.judge.outcomes import Judgment
from lib.judge.protocol import Progress
from lib.judge.store import Store
from lib.models import chat_models
from lib.serving import sampling
from lib.serving.transformers_engine import TransformersSampler

ANSWER = 128  # new tokens; the JSON takes about 40
GREEDY = 1e-6  # a temperature at which only the likeliest token is left


class LocalModelJudge(RubricJudge):
    """A local model: `judge.model` is a folder with weights and tokenizer, or a name on the hub.

    `judge.concurrency` sequences are decoded together. The weights' hash is part of every key.
    Raises ModelError.
    """

    def __init__(self, params: JudgeParams, stage: Path):
        import torch
        from transformers import AutoTokenizer

        folder = Path(params.model).expanduser().is_dir()
        model = ModelParams(
            source="path" if folder else "hub",
            name=params.model,
            revision=None,
            system_text=rubric.NAME,
            dtype="bfloat16" if torch.cuda.is_available() else "float32",
        )
        weights = chat_models.base_digest(model)
        super().__init__(
            params, stage, UNMETERED, "", {"weights": weights, "max_new_tokens": ANSWER}
        )
        self.name = f"{Path(params.model).name if folder else params.model}@{weights[:8]}"
        tokenizer = AutoTokenizer.from_pretrained(
            chat_models.base_dir(model), trust_remote_code=False, padding_side="left"
        )
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        self.sampler = TransformersSampler(
            chat_models.load_base(model), tokenizer, temperature=GREEDY, batch=params.concurrency
        )

    def send(
        self, requests: Sequence[Request], store: Store, budget: Budget, progress: Progress | None
    ) -> None:
        """Decode the requests in batches; each is kept before the next begins.

        Raises JudgeError if too many answers in a row hold no grade.
        """
        unusable = Unusable()
        stop = None
        for start in range(0, len(requests), self.params.concurrency):
            part = requests[start : start + self.params.concurrency]
            for request, judgment in zip(part, self._decode(part), strict=True):
                store.add(request.key, judgment, model=self.name, rubric=self.rubric)
                if judgment.output_tokens is not None:  # None: the request was too long
                    stop = unusable.note(judgment) or stop
            if stop:
                raise stop
            if progress is not None:
                progress(start + len(part), len(requests))

    def _decode(self, requests: Sequence[Request]) -> list[Judgment]:
        """Judgments of one batch; a request longer than the model's positions is `truncated`."""
        tokenizer = self.sampler.tokenizer
        judgments = [Judgment("truncated")] * len(requests)
        chats = [_chat(request) for request in requests]
        sizes = [len(chat_models.prompt_ids(tokenizer, chat)) for chat in chats]
        positions = getattr(self.sampler.model.config, "max_position_embeddings", None)
        limit = positions or max(sizes) + ANSWER
        fitting = [k for k, size in enumerate(sizes) if size + ANSWER <= limit]
        sampled = self.sampler.sample(
            [sampling.Request(requests[k].key, chats[k], None, ANSWER) for k in fitting]
        )
        for k, (answer,) in zip(fitting, sampled, strict=True):
            judgments[k] = read_reply(
                answer.text,
                answer.finish_reason,
                requests[k].suite,
                {"input_tokens": sizes[k], "output_tokens": answer.n_tokens},
                shown=f"{requests[k].prompt}\n{requests[k].completion}",
            )
        return judgments


def _chat(request: Request) -> list[dict[str, str]]:
    """The messages of one request."""
    return [
        {"role": "system", "content": rubric.rubric_of(request.suite).system},
        {"role": "user", "content": rubric.user_message(request.prompt, request.completion)},
    ]
