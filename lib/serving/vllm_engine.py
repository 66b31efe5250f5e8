"""Sampling with vLLM: one engine start for the base and every adapter of a seed.

docs/protocol.md section 5.
"""
# pyright: reportMissingImports=false
# vLLM is in the GPU environment only.

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.models.chat_models import prompt_ids
from lib.serving.sampling import (
    Completion,
    Decoded,
    Request,
    SamplingError,
    check_room,
    completed,
    seed_of,
    stop_tokens,
)
from lib.serving.vllm_options import ENVIRONMENT, SHARE, graph_sizes, lora_options
from lib.training.adapters import AdapterError

if TYPE_CHECKING:
    from lm_eval.models.vllm_causallms import VLLM
    from transformers import PreTrainedTokenizerBase
    from vllm import CompletionOutput, RequestOutput, SamplingParams
    from vllm.lora.request import LoRARequest


class VllmSampler:
    """vLLM with a LoRA slot for every adapter. One batch may mix all of them."""

    interleaves = True

    def __init__(
        self,
        base: Path,
        tokenizer: PreTrainedTokenizerBase,
        adapters: Mapping[str, Path],
        *,
        temperature: float,
        batch: int,
        length: int,
        **engine,
    ):
        """Start the engine.

        Args:
            base: folder of weights and tokenizer.
            length: tokens of the longest prompt and its completion together.
            engine: further options of vLLM.
        """
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import torch
        import vllm
        from transformers import GenerationConfig
        from vllm.lora.request import LoRARequest

        free, total = torch.cuda.mem_get_info()
        self.tokenizer = tokenizer
        self.temperature = temperature
        self.batch = batch
        self.length = length
        own = None
        if (base / "generation_config.json").exists():
            own = GenerationConfig.from_pretrained(base)
        self.stops = stop_tokens(tokenizer, own)
        self.lora = {
            name: LoRARequest(name, number, str(path))
            for number, (name, path) in enumerate(adapters.items(), 1)
        }
        self.llm = vllm.LLM(
            model=str(base),
            dtype="bfloat16",
            max_model_len=length + 1,
            max_num_seqs=batch,
            gpu_memory_utilization=round(SHARE * free / total, 3),
            trust_remote_code=False,
            use_tqdm_on_load=False,
            compilation_config={"cudagraph_capture_sizes": graph_sizes(batch)},
            # Not the model's own, which may bend the distribution (a repetition penalty).
            generation_config="vllm",
            **lora_options(adapters),
            **engine,
        )
        self.facts = {
            "engine": "vllm",
            "version": vllm.__version__,
            "dtype": "bfloat16",
            "device": torch.cuda.get_device_name(),
            "batch_invariant": os.environ.get("VLLM_BATCH_INVARIANT") == "1",
        }

    def sample(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """For each request its samples, in order."""
        answers = self._draw(requests, [self.params(request) for request in requests])
        return [
            [completed(self.tokenizer, self.stops, output.token_ids) for output in outputs]
            for _, outputs in answers
        ]

    def decode(self, requests: Sequence[Request]) -> list[list[Decoded]]:
        """As `sample`, with log-probabilities. Nothing ends a turn before max_new_tokens."""
        asked = [self.params(request) for request in requests]
        for params in asked:
            params.ignore_eos = True
            params.stop_token_ids = []
            params.logprobs = 0  # of the drawn token alone
        return [
            [_decoded(prompt, output) for output in outputs]
            for prompt, outputs in self._draw(requests, asked)
        ]

    def params(self, request: Request) -> SamplingParams:
        """vLLM's parameters of a request.

        vLLM seeds the n-th sample with `seed + n`, which has to fit an int64.
        """
        from vllm import SamplingParams

        return SamplingParams(
            n=request.samples,
            seed=seed_of(request.key) >> 2,
            temperature=self.temperature if request.temperature is None else request.temperature,
            top_p=1.0,
            top_k=0,
            min_p=0.0,
            repetition_penalty=1.0,
            presence_penalty=0.0,
            frequency_penalty=0.0,
            max_tokens=request.max_new_tokens,
            stop_token_ids=self.stops,
            detokenize=False,
        )

    def logprobs(
        self, sequences: Sequence[list[int]], positions: int, adapter: str | None
    ) -> np.ndarray:
        """Log-probabilities of each sequence's own last tokens: (sequences × positions,)."""
        from vllm import SamplingParams

        asked = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=1, detokenize=False)
        count = len(sequences)
        outputs = self._generate(sequences, [asked] * count, [self._lora(adapter)] * count)
        values = []
        for ids, output in zip(sequences, outputs, strict=True):
            values += _values(ids[-positions:], output.prompt_logprobs[-positions:])
        return np.array(values)

    @contextmanager
    def harness(self, adapter: str | None, batch: int) -> Iterator[VLLM]:
        """lm-evaluation-harness's own vLLM model on the engine that already runs.

        batch is not used: vLLM gets all items in one call and makes its own batches.
        """
        from lm_eval.api.model import TemplateLM
        from lm_eval.models.vllm_causallms import VLLM

        model = VLLM.__new__(VLLM)  # its __init__ would start an engine
        # The harness's registering decorator hides the class from a type checker.
        TemplateLM.__init__(model)  # pyright: ignore[reportArgumentType]
        vars(model).update(
            model=self.llm,
            tokenizer=self.tokenizer,
            lora_request=self._lora(adapter),
            batch_size=10**6,
            data_parallel_size=1,
            tensor_parallel_size=1,
            add_bos_token=None,
            custom_prefix_token_id=None,
            enable_thinking=None,
            think_end_token=None,
            chat_template_args={},
            hf_chat_template=None,
            truncation_side="left",
            _max_length=self.length,
            _max_gen_toks=1,
        )
        yield model

    def _draw(
        self, requests: Sequence[Request], params: list[SamplingParams]
    ) -> list[tuple[list[int], list[CompletionOutput]]]:
        """Each request's prompt ids and its outputs, in the order of their index."""
        prompts = [prompt_ids(self.tokenizer, one.messages, one.prefill) for one in requests]
        for request, ids in zip(requests, prompts, strict=True):
            check_room(request, len(ids), self.length)
        answers = self._generate(prompts, params, [self._lora(r.adapter) for r in requests])
        drawn = []
        for request, ids, answer in zip(requests, prompts, answers, strict=True):
            for output in answer.outputs:
                if output.finish_reason not in ("stop", "length"):
                    raise SamplingError(
                        f"request {request.key!r}: vLLM ended it as {output.finish_reason!r}; run "
                        "it again"
                    )
            drawn.append((ids, sorted(answer.outputs, key=lambda output: output.index)))
        return drawn

    def _generate(
        self,
        prompts: Sequence[list[int]],
        params: list[SamplingParams],
        lora: list[LoRARequest | None],
    ) -> list[RequestOutput]:
        """vLLM's answers, one per prompt. Raises SamplingError if one is missing."""
        from vllm import TokensPrompt

        outputs = self.llm.generate(
            [TokensPrompt(prompt_token_ids=list(ids)) for ids in prompts],
            params,
            lora_request=lora,
            use_tqdm=False,
        )
        if len(outputs) != len(prompts):
            raise SamplingError(
                f"vLLM answered {len(outputs)} of {len(prompts)} requests; run it again"
            )
        return outputs

    def _lora(self, adapter: str | None) -> LoRARequest | None:
        """vLLM's name of an adapter. Raises AdapterError if it is not loaded."""
        if adapter is not None and adapter not in self.lora:
            loaded = ", ".join(self.lora) or "none"
            raise AdapterError(f"adapter {adapter!r} is not loaded; loaded are {loaded}")
        return None if adapter is None else self.lora[adapter]


def _decoded(prompt: list[int], output: CompletionOutput) -> Decoded:
    """A drawn sequence with its log-probabilities."""
    logprobs = np.array(_values(output.token_ids, output.logprobs))
    return Decoded(prompt, list(output.token_ids), logprobs)


def _values(ids: Sequence[int], by_token: Sequence[Mapping[int, Any]]) -> list[float]:
    """The log-probabilities of these tokens, taken from vLLM's candidates at each position."""
    return [candidates[token].logprob for token, candidates in zip(ids, by_token, strict=True)]
