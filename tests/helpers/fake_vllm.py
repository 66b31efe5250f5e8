"""A stand-in for `vllm`.

It records what it is asked and computes log-probabilities itself.
"""

import types
from dataclasses import dataclass, field

import numpy as np
import torch

from lib.training.adapters import active

GIB = 2**30


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


@dataclass
class SamplingParams:
    """The fields that the engine sets; an unknown one is a TypeError, as in vLLM."""

    n: int = 1
    seed: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    max_tokens: int = 16
    stop_token_ids: list = field(default_factory=list)
    ignore_eos: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True


class FakeLLM:
    """Random ids that depend on (seed + index) alone; log-probabilities of the tiny model by PEFT.

    fault: "abort" ends requests; "off" applies no adapter, "off in decoding" none to drawn tokens,
    and "mixed in decoding" applies to these the adapter of the request after the next.
    """

    made: list = []  # noqa: RUF012 (one list for all engines of a test)
    model = None
    fault = None
    lost = 0

    def __init__(self, **options):
        self.options = options
        self.calls = []
        FakeLLM.made.append(self)

    def generate(self, prompts, sampling_params, *, lora_request, use_tqdm):
        lora_request = (
            lora_request if isinstance(lora_request, list) else [lora_request] * len(prompts)
        )
        params = (
            sampling_params
            if isinstance(sampling_params, list)
            else [sampling_params] * len(prompts)
        )
        assert len(prompts) == len(params) == len(lora_request) and use_tqdm is False
        self.calls.append((prompts, params, lora_request))
        decoding = {
            "off in decoding": [None] * len(prompts),
            "mixed in decoding": [*lora_request, None, None][2:],
        }
        rows = list(
            zip(prompts, params, lora_request, decoding.get(self.fault, lora_request), strict=True)
        )
        return [self._answer(*row) for row in rows[: len(rows) - self.lost]]

    def _answer(self, prompt, params, lora, decoding):
        ids = prompt["prompt_token_ids"]
        outputs = [
            types.SimpleNamespace(index=i, logprobs=None, **self._draw(params, i))
            for i in range(params.n)
        ]
        for output in outputs if params.logprobs is not None else []:
            output.logprobs = self._logprobs([*ids, *output.token_ids], decoding, params.logprobs)[
                len(ids) :
            ]
        told = (
            None
            if params.prompt_logprobs is None
            else self._logprobs(ids, lora, params.prompt_logprobs)
        )
        return types.SimpleNamespace(
            outputs=outputs[::-1], prompt_logprobs=told, prompt_token_ids=ids
        )

    @staticmethod
    def _draw(params, index):
        rng = np.random.default_rng((params.seed or 0) + index)
        ids = rng.integers(10, 200, params.max_tokens).tolist()
        if params.ignore_eos or rng.random() < 0.5:
            return {
                "token_ids": ids,
                "finish_reason": "abort" if FakeLLM.fault == "abort" else "length",
            }
        return {
            "token_ids": [*ids[: rng.integers(0, params.max_tokens)], params.stop_token_ids[0]]
            if params.stop_token_ids
            else ids,
            "finish_reason": "stop",
        }

    def _logprobs(self, ids, lora, count):
        name = lora.lora_name if lora else None
        if FakeLLM.fault == "off":
            name = None
        with active(FakeLLM.model, name), torch.inference_mode():
            values = FakeLLM.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        told = [None]
        for place, token in enumerate(ids[1:]):
            wanted = {token, *values[place].topk(count).indices.tolist()}
            told.append({t: types.SimpleNamespace(logprob=values[place, t].item()) for t in wanted})
        return told
