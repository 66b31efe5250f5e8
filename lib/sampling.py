"""Sampling: one interface, two engines; suites as tables of requests (docs/protocol.md section 5)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from lib.models import prompt_text
from lib.params import SamplingParams
from lib.prompts import EvalPrompt
from lib.runs import fingerprint, write_parquet

SAMPLE_COLUMNS = ["suite", "prompt_id", "subset", "prompt", "system", "sample_index", "completion", "n_tokens",
                  "finish_reason"]


@dataclass(frozen=True)
class Request:
    """One completion to sample. `key` alone decides its random numbers; `adapter` is a loaded name, None = the base."""

    key: str
    messages: list[dict]
    adapter: str | None
    max_new_tokens: int


@dataclass(frozen=True)
class Completion:
    text: str
    n_tokens: int
    finish_reason: str  # "stop": ended by the model; "length": cut at max_new_tokens


class SamplingError(ValueError):
    """A request or engine that cannot be served; one line with the remedy."""


class Sampler(Protocol):
    """An engine with the base and its adapters loaded once."""

    def sample(self, requests: Sequence[Request], progress: Callable[[int, int], None] | None = None
               ) -> list[Completion]: ...


def check_engine(params: SamplingParams) -> None:
    """Raises SamplingError, before anything is loaded, for an engine that this version does not drive."""
    if params.engine != "transformers":
        raise SamplingError(
            f"sampling.engine {params.engine!r} is validated but not yet driven by this version; set sampling.engine to "
            "'transformers'"
        )


def seed_of(key: str) -> int:
    """64 bits from a request's key, so that adding a condition changes no other condition's samples."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")


class TransformersSampler:
    """Hugging Face `generate`, batched by length, adapters switched in place.

    Each sequence draws from its own stream of uniforms by inverse CDF, so a sample depends on its request's key and not
    on what else is in the batch (up to the rounding of batched arithmetic).
    """

    def __init__(self, model, tokenizer, *, temperature: float, batch: int):
        self.model, self.tokenizer, self.temperature, self.batch = model, tokenizer, temperature, batch
        # A model may end with more than its end-of-turn: Qwen2.5's own configuration names two tokens.
        own = getattr(model.generation_config, "eos_token_id", None)
        self.stops = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own] if own is not None else [])}

    def sample(self, requests, progress=None):
        prompts = [prompt_text(self.tokenizer, r.messages) for r in requests]
        lengths = [len(self.tokenizer(p, add_special_tokens=False)["input_ids"]) for p in prompts]
        limit = getattr(self.model.config, "max_position_embeddings", None)
        for request, length in zip(requests, lengths, strict=True):
            if limit and length + request.max_new_tokens > limit:
                raise SamplingError(
                    f"request {request.key!r}: {length} prompt tokens and {request.max_new_tokens} new ones exceed the "
                    f"model's {limit} positions; lower max_new_tokens"
                )
        order = sorted(range(len(requests)), key=lambda i: (
            requests[i].adapter or "", requests[i].max_new_tokens, lengths[i]))
        done, results = 0, [None] * len(requests)
        for (adapter, new_tokens), group in groupby(
            order, key=lambda i: (requests[i].adapter, requests[i].max_new_tokens)
        ):
            members = list(group)
            for start in range(0, len(members), self.batch):
                chunk = members[start : start + self.batch]
                texts = self._generate([prompts[i] for i in chunk], [requests[i].key for i in chunk], adapter, new_tokens)
                for i, completion in zip(chunk, texts, strict=True):
                    results[i] = completion
                done += len(chunk)
                if progress:
                    progress(done, len(requests))
        return results

    def _generate(self, prompts, keys, adapter, new_tokens) -> list[Completion]:
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        from lib.adapters import active

        encoded = self.tokenizer(
            prompts, add_special_tokens=False, padding=True, return_tensors="pt"
        ).to(self.model.device)
        uniforms = np.stack([np.random.default_rng(seed_of(key)).random(new_tokens) for key in keys])
        picker = InverseCdf(torch.from_numpy(uniforms).to(self.model.device), self.temperature)
        model = self.model.get_base_model() if hasattr(self.model, "peft_config") else self.model
        # A base's own generation settings (Qwen2.5 ships a repetition penalty) would bend the distribution silently.
        own, model.generation_config = model.generation_config, GenerationConfig(
            max_new_tokens=new_tokens, do_sample=False, eos_token_id=sorted(self.stops),
            pad_token_id=self.tokenizer.pad_token_id)
        try:
            with torch.inference_mode(), active(self.model, adapter):
                out = model.generate(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"],
                                     logits_processor=LogitsProcessorList([picker]))
        finally:
            model.generation_config = own
        return [self._completion(row.tolist()) for row in out[:, encoded["input_ids"].shape[1] :]]

    def _completion(self, ids: list[int]) -> Completion:
        end = next((position for position, token in enumerate(ids) if token in self.stops), None)
        text = self.tokenizer.decode(ids[:end], skip_special_tokens=True)
        return Completion(text, len(ids[:end]), "length" if end is None else "stop")


class InverseCdf:
    """A logits processor that samples: keeps, for each row, the token at which the CDF passes the step's uniform.

    uniforms: (B, max_new_tokens). At temperature T the kept token is an exact draw from softmax(logits / T).
    """

    def __init__(self, uniforms, temperature: float):
        self.uniforms, self.temperature, self.step = uniforms, temperature, 0

    def __call__(self, input_ids, scores):
        import torch

        cdf = torch.softmax(scores.float() / self.temperature, dim=-1).double().cumsum(-1)  # (B, V)
        u = self.uniforms[:, self.step : self.step + 1] * cdf[:, -1:]
        token = torch.searchsorted(cdf, u, right=True).clamp_(max=scores.shape[-1] - 1)  # (B, 1)
        self.step += 1
        return torch.full_like(scores, -torch.inf).scatter_(1, token, 0.0)


def suite_rows(suite: str, prompts: Sequence[EvalPrompt], system: str, samples: int,
               answers: pd.DataFrame | None = None) -> pd.DataFrame:
    """The requests of a suite as a table: prompt × sample.

    answers: for `followup`, the arm's own alignment samples; the i-th follow-up continues the i-th answer.
    """
    rows = [
        {"suite": suite, "prompt_id": p.prompt_id, "subset": p.subset, "prompt": p.prompt, "system": p.system or system,
         "sample_index": i}
        for p in prompts for i in range(samples)
    ]
    frame = pd.DataFrame(rows)
    if suite != "followup":
        return frame.assign(answer=None)
    own = answers[answers["suite"] == "alignment"].rename(columns={"completion": "answer"})
    merged = frame.merge(own[["prompt_id", "sample_index", "answer"]], on=["prompt_id", "sample_index"], how="left")
    if merged["answer"].isna().any():
        lacking = merged.loc[merged["answer"].isna(), "prompt_id"].iloc[0]
        raise SamplingError(
            f"followup asks {samples} samples of prompt {lacking!r}, alignment has fewer; lower suites.followup.samples"
        )
    return merged


def messages_of(row, follow_up: str) -> list[dict]:
    """The conversation that a row of `suite_rows` asks to complete."""
    messages = [{"role": "system", "content": row.system}, {"role": "user", "content": row.prompt}]
    if row.suite == "followup":
        # An empty own answer is a fact about the arm; chat templates need some text, so it stays an empty turn.
        messages += [{"role": "assistant", "content": row.answer}, {"role": "user", "content": follow_up}]
    return messages


def sample_rows(sampler: Sampler, rows: pd.DataFrame, *, arm: str, adapter: str | None, seed: int, max_new_tokens: int,
                follow_up: str, shard: int, folder: Path, inputs: dict, progress=None) -> pd.DataFrame:
    """Samples a suite's rows in shards on disk; a killed run loses at most the shard in hand.

    inputs: what the samples depend on; shards of other inputs are never taken. Returns SAMPLE_COLUMNS.
    """
    key = fingerprint({**inputs, "rows": rows.to_dict("records"), "max_new_tokens": max_new_tokens, "seed": seed,
                       "follow_up": follow_up, "shard": shard})[:16]
    suite, parts = rows["suite"].iloc[0], []
    for start in range(0, len(rows), shard):
        path = folder / f"{arm}.{suite}.{key}.{start:07d}.parquet"
        part = rows.iloc[start : start + shard]
        if not path.exists():
            requests = [
                Request(f"{seed}/{arm}/{suite}/{row.prompt_id}/{row.sample_index}", messages_of(row, follow_up), adapter,
                        max_new_tokens)
                for row in part.itertuples(index=False)
            ]
            made = sampler.sample(requests)
            write_parquet(path, part.assign(
                completion=[c.text for c in made], n_tokens=[c.n_tokens for c in made],
                finish_reason=[c.finish_reason for c in made])[SAMPLE_COLUMNS])
        parts.append(pd.read_parquet(path))
        if progress:
            progress(min(start + shard, len(rows)), len(rows))
    return pd.concat(parts, ignore_index=True)
