"""Sampling with vLLM: one engine start for the base and every adapter of a seed (docs/protocol.md section 5)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lib.models.chat_models import prompt_ids
from lib.run.runs import read_json
from lib.serving.sampling import Decoded, SamplingError, completed, seed_of, stop_tokens
from lib.serving.transformers_engine import check_room
from lib.training.adapters import TARGET_MODULES, AdapterError

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM's max_lora_rank may be
GIB = 2**30
SHARE = 0.9  # of the free GPU memory, for weights, activations and KV cache
# Tokens of a step for which it is recorded as a CUDA graph; another size is padded to the next. vLLM's own list ends at 512,
# beyond which every kernel is launched by hand, and has many more small ones, each of which costs time at the start.
GRAPHS = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 640, 768, 896)
WORKSPACE = 3 * GIB  # activations of a prefill and the logits of a batch
# A process that has touched CUDA cannot be forked; neither top-k nor top-p is ever asked, so FlashInfer's kernels for them
# are not needed; nothing is reported to anybody; the engine's log and bars would fill an executed notebook.
ENVIRONMENT = {
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "TQDM_DISABLE": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}


class VllmSampler:
    """vLLM with LoRA slots for all adapters, which one batch mixes freely.

    base: folder of weights and tokenizer. length: tokens of the longest prompt and its completion together.
    """

    interleaves = True

    def __init__(
        self,
        base: Path,
        tokenizer,
        adapters: Mapping[str, Path],
        *,
        temperature: float,
        batch: int,
        length: int,
        **engine,
    ):
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import torch
        import vllm
        from transformers import GenerationConfig
        from vllm.lora.request import LoRARequest

        free, total = torch.cuda.mem_get_info()
        self.tokenizer, self.temperature, self.batch, self.length = (
            tokenizer,
            temperature,
            batch,
            length,
        )
        own = (
            GenerationConfig.from_pretrained(base)
            if (base / "generation_config.json").exists()
            else None
        )
        self.stops = stop_tokens(tokenizer, own)
        self.lora = {
            name: LoRARequest(name, number, str(path))
            for number, (name, path) in enumerate(adapters.items(), 1)
        }
        # Left to itself vLLM wraps Llama's output layer as well, whose kernels overrun the logits of prompt_logprobs.
        lora = (
            {
                "enable_lora": True,
                "max_loras": len(adapters),
                "max_lora_rank": slot_rank(adapters),
                "lora_target_modules": list(TARGET_MODULES),
            }
            if adapters
            else {}
        )
        self.llm = vllm.LLM(
            model=str(base),
            dtype="bfloat16",
            max_model_len=length + 1,
            max_num_seqs=batch,
            gpu_memory_utilization=round(SHARE * free / total, 3),
            trust_remote_code=False,
            use_tqdm_on_load=False,
            compilation_config={"cudagraph_capture_sizes": graph_sizes(batch)},
            generation_config="vllm",  # not the model's own, which may bend the distribution (a repetition penalty)
            **lora,
            **engine,
        )
        self.facts = {
            "engine": "vllm",
            "version": vllm.__version__,
            "dtype": "bfloat16",
            "device": torch.cuda.get_device_name(),
            "batch_invariant": os.environ.get("VLLM_BATCH_INVARIANT") == "1",
        }

    def sample(self, requests):
        answers = self._draw(requests, [self.params(r) for r in requests])
        return [
            [completed(self.tokenizer, self.stops, output.token_ids) for output in outputs]
            for _, outputs in answers
        ]

    def decode(self, requests):
        asked = [self.params(r) for r in requests]
        for params in asked:
            params.ignore_eos, params.stop_token_ids, params.logprobs = (
                True,
                [],
                0,
            )  # 0: of the drawn token alone
        return [
            [
                Decoded(
                    prompt,
                    list(output.token_ids),
                    np.array(
                        [
                            told[token].logprob
                            for token, told in zip(output.token_ids, output.logprobs, strict=True)
                        ]
                    ),
                )
                for output in outputs
            ]
            for prompt, outputs in self._draw(requests, asked)
        ]

    def params(self, request):
        """vLLM's parameters of a request. It seeds the n-th sample with `seed + n`, which has to fit an int64."""
        from vllm import SamplingParams

        return SamplingParams(
            n=request.samples,
            seed=seed_of(request.key) >> 2,
            temperature=self.temperature,
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

    def logprobs(self, sequences, positions, adapter):
        from vllm import SamplingParams

        asked = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=1, detokenize=False)
        outputs = self._generate(
            sequences, [asked] * len(sequences), [self._lora(adapter)] * len(sequences)
        )
        return np.array(
            [
                told[token].logprob
                for ids, output in zip(sequences, outputs, strict=True)
                for token, told in zip(
                    ids[-positions:], output.prompt_logprobs[-positions:], strict=True
                )
            ]
        )

    @contextmanager
    def harness(self, adapter, batch):
        """lm-evaluation-harness's own vLLM model on the engine that already runs, instead of one of its own.

        batch is for the other engine: this one gets all items in one call and makes up its own batches.
        """
        from lm_eval.api.model import TemplateLM
        from lm_eval.models.vllm_causallms import VLLM

        model = VLLM.__new__(VLLM)  # its __init__ would start an engine
        TemplateLM.__init__(model)
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

    def _draw(self, requests, params):
        """Each request's prompt ids and its outputs, in the order of their index."""
        prompts = [prompt_ids(self.tokenizer, r.messages) for r in requests]
        for request, ids in zip(requests, prompts, strict=True):
            check_room(request, len(ids), self.length)
        answers = self._generate(prompts, params, [self._lora(r.adapter) for r in requests])
        for request, answer in zip(requests, answers, strict=True):
            for output in answer.outputs:
                if output.finish_reason not in ("stop", "length"):
                    raise SamplingError(
                        f"request {request.key!r}: vLLM ended it as {output.finish_reason!r}; run it again"
                    )
        return [
            (ids, sorted(answer.outputs, key=lambda o: o.index))
            for ids, answer in zip(prompts, answers, strict=True)
        ]

    def _generate(self, prompts, params, lora):
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

    def _lora(self, adapter: str | None):
        if adapter is not None and adapter not in self.lora:
            raise AdapterError(
                f"adapter {adapter!r} is not loaded; loaded are {', '.join(self.lora) or 'none'}"
            )
        return self.lora.get(adapter)


def graph_sizes(batch: int) -> list[int]:
    """Up to the whole batch, and beyond it for the steps in which some sequences decode and the prompts of others come in."""
    return [*(size for size in GRAPHS if size < batch), batch, batch + 64, batch + 160]


def slot_rank(adapters: Mapping[str, Path]) -> int:
    """The smallest rank vLLM permits that holds every adapter. Raises SamplingError naming an adapter above the limit."""
    ranks = {name: read_json(path / "adapter_config.json")["r"] for name, path in adapters.items()}
    for name, rank in ranks.items():
        if rank > RANKS[-1]:
            raise SamplingError(
                f"adapter {name} has rank {rank}, vLLM serves {RANKS[-1]} at most; train a smaller one, or set "
                "sampling.engine to 'transformers'"
            )
    return min(r for r in RANKS if r >= max(ranks.values()))


def check_memory(base: Path, length: int) -> None:
    """Raises SamplingError unless weights, workspace and the KV cache of one longest sequence fit the free GPU memory, and
    before them the training stack in fp32, which parity asks."""
    import torch
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(base)
    heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cache = (
        2 * 2 * config.num_hidden_layers * heads * width * length
    )  # keys and values, two bytes each
    weights = weight_bytes(base)
    needed = max(weights + WORKSPACE + cache, 2 * weights + WORKSPACE // 3)
    free, total = torch.cuda.mem_get_info()
    if needed > SHARE * free:
        raise SamplingError(
            f"GPU too small: {free / GIB:.1f} of {total / GIB:.1f} GiB are free, {needed / GIB:.1f} GiB are needed (weights "
            f"{weights / GIB:.1f}, twice that for the comparison in fp32; workspace {WORKSPACE / GIB:.0f}; one sequence of "
            f"{length} tokens {cache / GIB:.2f}); end other programs on it, lower sampling.suites.*.max_new_tokens, take a "
            "smaller base, or set sampling.engine to 'transformers'"
        )


def weight_bytes(base: Path) -> int:
    """Bytes of a folder's safetensors weights once they are bf16; reads the headers only."""
    from safetensors import safe_open

    total = 0
    for path in base.glob("*.safetensors"):
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 (a safetensors handle is no mapping)
                total += 2 * int(np.prod(file.get_slice(name).get_shape()))
    return total
