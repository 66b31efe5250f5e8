"""Sampling with Hugging Face `generate`: CPU, Apple, or a GPU without vLLM (docs/protocol.md section 5)."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import groupby

import numpy as np

from lib.models.chat_models import prompt_ids
from lib.serving.sampling import Decoded, Request, SamplingError, completed, seed_of, stop_tokens
from lib.training.adapters import active
from lib.training.logits import own_logprobs


class TransformersSampler:
    """Batched by length, adapters switched in place.

    model: the base, or the base with its adapters attached. Each sequence draws from its own stream of uniforms by
    inverse CDF, so a sample depends on its key and index and not on what else is in the batch (up to the rounding of
    batched arithmetic).
    """

    interleaves = False

    def __init__(self, model, tokenizer, *, temperature: float, batch: int):
        import transformers

        self.model, self.tokenizer, self.temperature, self.batch = (
            model,
            tokenizer,
            temperature,
            batch,
        )
        self.stops = stop_tokens(tokenizer, model.generation_config)
        self.facts = {
            "engine": "transformers",
            "version": transformers.__version__,
            "dtype": str(model.dtype).removeprefix("torch."),
            "device": str(model.device),
        }

    def sample(self, requests):
        return [
            [completed(self.tokenizer, self.stops, one.ids) for one in of]
            for of in self._draw(requests, self.stops)
        ]

    def decode(self, requests):
        return self._draw(requests, [])

    def _draw(self, requests, stops):
        prompts = [prompt_ids(self.tokenizer, r.messages) for r in requests]
        lengths = [len(ids) for ids in prompts]
        limit = getattr(self.model.config, "max_position_embeddings", None)
        for request, length in zip(requests, lengths, strict=True):
            check_room(request, length, limit)
        rows = [(i, sample) for i, r in enumerate(requests) for sample in range(r.samples)]
        rows.sort(
            key=lambda row: (
                requests[row[0]].adapter or "",
                requests[row[0]].max_new_tokens,
                lengths[row[0]],
            )
        )
        made = {}
        for adapter, of_adapter in groupby(rows, key=lambda row: requests[row[0]].adapter):
            with served(self.model, adapter):
                for new_tokens, group in groupby(
                    of_adapter, key=lambda row: requests[row[0]].max_new_tokens
                ):
                    members = list(group)
                    for start in range(0, len(members), self.batch):
                        chunk = members[start : start + self.batch]
                        streams = [
                            f"{requests[i].key}/{sample}" if sample else requests[i].key
                            for i, sample in chunk
                        ]
                        drawn = self._generate(
                            [prompts[i] for i, _ in chunk], streams, new_tokens, stops
                        )
                        made |= zip(chunk, drawn, strict=True)
        return [[made[i, sample] for sample in range(r.samples)] for i, r in enumerate(requests)]

    def logprobs(self, sequences, positions, adapter):
        with served(self.model, adapter):
            return own_logprobs(self.model, sequences, positions)

    @contextmanager
    def harness(self, adapter, batch):
        from lm_eval.models.huggingface import HFLM

        with served(self.model, adapter):
            yield HFLM(
                pretrained=self.model,
                tokenizer=self.tokenizer,
                batch_size=batch,
                backend="causal",
                device=str(self.model.device),
            )

    def _generate(self, prompts, streams, new_tokens, stops):
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        encoded = self.tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(
            self.model.device
        )
        uniforms = np.stack(
            [np.random.default_rng(seed_of(stream)).random(new_tokens) for stream in streams]
        )
        picker = InverseCdf(
            torch.from_numpy(uniforms).to(self.model.device), self.temperature, record=not stops
        )
        model = self.model.get_base_model() if hasattr(self.model, "peft_config") else self.model
        # A base's own generation settings (Qwen2.5 ships a repetition penalty) would bend the distribution silently.
        own, model.generation_config = (
            model.generation_config,
            GenerationConfig(
                max_new_tokens=new_tokens,
                do_sample=False,
                eos_token_id=stops or None,
                pad_token_id=self.tokenizer.pad_token_id,
            ),
        )
        try:
            with torch.inference_mode():
                out = model.generate(
                    input_ids=encoded["input_ids"],
                    attention_mask=encoded["attention_mask"],
                    logits_processor=LogitsProcessorList([picker]),
                )
        finally:
            model.generation_config = own
        told = (
            torch.cat(picker.told, dim=1).double().cpu().numpy()
            if picker.told
            else [None] * len(prompts)
        )
        return [
            Decoded(prompt, row.tolist(), values)
            for prompt, row, values in zip(
                prompts, out[:, encoded["input_ids"].shape[1] :], told, strict=True
            )
        ]


def check_room(request: Request, length: int, limit: int | None) -> None:
    """Raises SamplingError when a prompt of `length` tokens and the new ones exceed the engine's `limit`."""
    if limit and length + request.max_new_tokens > limit:
        raise SamplingError(
            f"request {request.key!r}: {length} prompt tokens and {request.max_new_tokens} new ones exceed the "
            f"model's {limit} positions; lower max_new_tokens"
        )


@contextmanager
def served(model, adapter: str | None):
    """Within the block the checkpoint is served: adapter None = the bare base.

    In fp32 the adapter is folded into the weights, which saves its products at every token; afterwards the layers get
    their own tensors back, so the base stays what it was to the bit. In bf16 a fold would round most of a small update
    away: there the adapter stays beside the base.
    """
    from peft.tuners.lora import LoraLayer

    with active(model, adapter):
        if adapter is None or str(model.dtype) != "torch.float32":
            yield
            return
        layers = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
        pristine = [layer.get_base_layer().weight.data for layer in layers]
        try:
            for layer in layers:
                layer.merge(safe_merge=True, adapter_names=[adapter])  # "safe": into a new tensor
            yield
        finally:
            for layer, weight in zip(layers, pristine, strict=True):
                layer.get_base_layer().weight.data = weight
                layer.merged_adapters.clear()


class InverseCdf:
    """A logits processor that samples: keeps, for each row, the token at which the CDF passes the step's uniform.

    uniforms: (B, max_new_tokens). At temperature T the kept token is an exact draw from softmax(logits / T).
    record: `told` gets the kept tokens' log-probabilities at temperature 1, (B, 1) a step.
    """

    def __init__(self, uniforms, temperature: float, *, record: bool = False):
        self.uniforms, self.temperature, self.record, self.step = uniforms, temperature, record, 0
        self.told = []

    def __call__(self, input_ids, scores):
        import torch

        cdf = torch.softmax(scores.float() / self.temperature, dim=-1).double().cumsum(-1)  # (B, V)
        u = self.uniforms[:, self.step : self.step + 1] * cdf[:, -1:]
        token = torch.searchsorted(cdf, u, right=True).clamp_(max=scores.shape[-1] - 1)  # (B, 1)
        self.step += 1
        if self.record:
            self.told.append(scores.float().log_softmax(-1).gather(1, token))
        return torch.full_like(scores, -torch.inf).scatter_(1, token, 0.0)
