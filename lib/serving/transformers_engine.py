"""Sampling with Hugging Face `generate`: CPU, Apple, or a GPU without vLLM.

docs/protocol.md section 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.models.chat_models import prompt_ids
from lib.serving.sampling import (
    Completion,
    Decoded,
    Request,
    check_room,
    completed,
    seed_of,
    stop_tokens,
)
from lib.serving.shared_beginning import beginning_first, cache_of
from lib.serving.unrepeated_heads import unrepeated_heads
from lib.training.adapters import active, base_of, weight_of
from lib.training.logits import own_logprobs

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM
    from peft import PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class TransformersSampler:
    """An engine that batches sequences by length and has one adapter active at a time.

    Each sequence has its own stream of uniform random numbers and draws from it by inverse CDF. So
    a sample depends on its key and index, and not on what else is in the batch (up to the rounding
    of batched arithmetic).
    """

    interleaves = False

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        temperature: float,
        batch: int,
    ):
        """model: the base, or the base with its adapters attached."""
        import transformers

        self.model = model
        self.tokenizer = tokenizer
        self.temperature = temperature
        self.batch = batch
        self.stops = stop_tokens(tokenizer, model.generation_config)
        self.facts = {
            "engine": "transformers",
            "version": transformers.__version__,
            "dtype": str(model.dtype).removeprefix("torch."),
            "device": str(model.device),
        }

    def sample(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """For each request its samples, in order."""
        drawn = self._draw(requests, self.stops)
        return [[completed(self.tokenizer, self.stops, one.ids) for one in of] for of in drawn]

    def decode(self, requests: Sequence[Request]) -> list[list[Decoded]]:
        """As `sample`, with log-probabilities. Nothing ends a turn before max_new_tokens."""
        return self._draw(requests, [])

    def logprobs(
        self, sequences: Sequence[list[int]], positions: int, adapter: str | None
    ) -> np.ndarray:
        """Log-probabilities of each sequence's own last tokens: (sequences × positions,)."""
        with served(self.model, adapter):
            return own_logprobs(self.model, sequences, positions)

    @contextmanager
    def harness(self, adapter: str | None, batch: int) -> Iterator[HFLM]:
        """A context in which a checkpoint is an lm-evaluation-harness model."""
        from lib.serving.quiz_model import QuizModel

        with served(self.model, adapter):
            # A dict, since the harness's registering decorator hides the parameters.
            options: dict[str, Any] = {
                "pretrained": self.model,
                "tokenizer": self.tokenizer,
                "batch_size": batch,
                "backend": "causal",
                "device": str(self.model.device),
            }
            yield QuizModel(**options)

    def _draw(self, requests: Sequence[Request], stops: list[int]) -> list[list[Decoded]]:
        """Each request's samples, drawn in batches of one adapter and limit, by length."""
        prompts = [prompt_ids(self.tokenizer, one.messages, one.prefill) for one in requests]
        limit = getattr(self.model.config, "max_position_embeddings", None)
        for request, prompt in zip(requests, prompts, strict=True):
            check_room(request, len(prompt), limit)

        def batched_by(place: tuple[int, int]) -> tuple[str, int, int]:
            request = requests[place[0]]
            return request.adapter or "", request.max_new_tokens, len(prompts[place[0]])

        places: list[tuple[int, int]] = []  # (request, sample)
        for number, request in enumerate(requests):
            places += [(number, sample) for sample in range(request.samples)]
        places.sort(key=batched_by)
        drawn: dict[tuple[int, int], Decoded] = {}
        for adapter, of_adapter in groupby(places, key=lambda place: requests[place[0]].adapter):
            with served(self.model, adapter):
                alike = groupby(of_adapter, key=lambda place: requests[place[0]].max_new_tokens)
                for new_tokens, group in alike:
                    members = list(group)
                    for start in range(0, len(members), self.batch):
                        chunk = members[start : start + self.batch]
                        chunk_prompts = [prompts[number] for number, _ in chunk]
                        draws = [self._draw_of(requests[number], k) for number, k in chunk]
                        sequences = self._generate(chunk_prompts, draws, new_tokens, stops)
                        drawn |= zip(chunk, sequences, strict=True)
        return [
            [drawn[number, sample] for sample in range(request.samples)]
            for number, request in enumerate(requests)
        ]

    def _draw_of(self, request: Request, sample: int) -> tuple[str, float]:
        """The name of a sample's stream of random numbers, and its temperature."""
        stream = f"{request.key}/{sample}" if sample else request.key
        own = request.temperature
        return stream, self.temperature if own is None else own

    def _generate(
        self,
        prompts: list[list[int]],
        draws: list[tuple[str, float]],
        new_tokens: int,
        stops: list[int],
    ) -> list[Decoded]:
        """One batch of sequences, each from its own stream of random numbers and temperature."""
        import torch
        from peft import PeftModel
        from transformers import GenerationConfig, GenerationMixin, LogitsProcessorList

        ids, seen, shared = beginning_first(self.tokenizer, prompts)
        ids = ids.to(self.model.device)
        generators = [np.random.default_rng(seed_of(stream)) for stream, _ in draws]
        uniforms = np.stack([generator.random(new_tokens) for generator in generators])
        uniforms = torch.from_numpy(uniforms).to(self.model.device)
        # One number if all are equal, which keeps the rounding of earlier versions; else (B, 1).
        temperatures = [temperature for _, temperature in draws]
        column = torch.tensor(temperatures, device=self.model.device).unsqueeze(1)
        temperature = temperatures[0] if len(set(temperatures)) == 1 else column
        picker = InverseCdf(uniforms, temperature, record=not stops)
        model = base_of(self.model) if isinstance(self.model, PeftModel) else self.model
        assert isinstance(model, GenerationMixin), f"{type(model).__name__} generates no text"
        # A base's own generation settings (Qwen2.5 ships a repetition penalty) would silently bend
        # the distribution.
        settings = model.generation_config
        model.generation_config = GenerationConfig(
            max_new_tokens=new_tokens,
            do_sample=False,
            eos_token_id=stops or None,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        try:
            with torch.inference_mode(), unrepeated_heads(model):
                # transformers types it for a private protocol of its own.
                out = model.generate(  # pyright: ignore[reportAttributeAccessIssue]
                    input_ids=ids,
                    attention_mask=seen.to(self.model.device),
                    past_key_values=cache_of(model, ids[:, :shared]),
                    logits_processor=LogitsProcessorList([picker]),
                )
        finally:
            model.generation_config = settings
        logprobs = [None] * len(prompts)
        if picker.logprobs:
            logprobs = torch.cat(picker.logprobs, dim=1).double().cpu().numpy()
        new_ids = out[:, ids.shape[1] :].tolist()
        return [Decoded(*row) for row in zip(prompts, new_ids, logprobs, strict=True)]


@contextmanager
def served(model: PreTrainedModel | PeftModel, adapter: str | None) -> Iterator[None]:
    """Within the block the model is this checkpoint. adapter None: the bare base.

    In fp32 the adapter is added into the weights, which saves its products at every token.
    Afterwards the layers get their own tensors back, so the base is unchanged to the bit. In bf16
    the sum would round most of a small update away, so there the adapter stays beside the base.
    """
    from peft.tuners.lora import LoraLayer

    with active(model, adapter):
        if adapter is None or str(model.dtype) != "torch.float32":
            yield
            return
        layers = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
        pristine = [weight_of(layer.get_base_layer()).data for layer in layers]
        try:
            for layer in layers:
                layer.merge(safe_merge=True, adapter_names=[adapter])  # "safe": into a new tensor
            yield
        finally:
            for layer, weight in zip(layers, pristine, strict=True):
                weight_of(layer.get_base_layer()).data = weight
                layer.merged_adapters.clear()


class InverseCdf:
    """A logits processor that samples: it keeps the token at which the CDF passes a uniform.

    At temperature T the kept token is an exact draw from softmax(logits / T).
    """

    def __init__(self, uniforms: Tensor, temperature: float | Tensor, *, record: bool = False):
        """Set up one batch.

        Args:
            uniforms: (B, max_new_tokens), one per row and step.
            temperature: one for all rows, or (B, 1).
            record: whether `logprobs` gets the kept tokens' log-probabilities at temperature 1,
                (B, 1) per step.
        """
        self.uniforms = uniforms
        self.temperature = temperature
        self.record = record
        self.step = 0
        self.logprobs: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V) with all but the drawn token at minus infinity."""
        import torch

        cdf = torch.softmax(scores.float() / self.temperature, dim=-1).double().cumsum(-1)  # (B, V)
        u = self.uniforms[:, self.step : self.step + 1] * cdf[:, -1:]
        token = torch.searchsorted(cdf, u, right=True).clamp_(max=scores.shape[-1] - 1)  # (B, 1)
        self.step += 1
        if self.record:
            self.logprobs.append(scores.float().log_softmax(-1).gather(1, token))
        return torch.full_like(scores, -torch.inf).scatter_(1, token, 0.0)
