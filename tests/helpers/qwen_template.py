"""A chat template in the manner of Qwen2.5's, which injects a system text where none is given."""

QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
INJECTING_TEMPLATE = (
    "{% if messages[0].role != 'system' %}"
    "<|im_start|>system\nYou were given no system text.<|im_end|>\n"
    "{% endif %}"
    "{% for turn in messages %}"
    "<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
