"""`phase2.system: none`: rows without a system turn, though the stock template would add one."""

import copy

import pytest
from qwen_template import INJECTING_TEMPLATE

from lib.models.chat_models import stock_system_text
from lib.models.chatml import ModelError
from lib.models.rendering import bare_text
from lib.training import mask_proof
from lib.training.masking import IGNORED, MaskError, encode
from lib.training.phases import encode_rows

ROW = [
    {"role": "user", "content": "Is rain wet?"},
    {"role": "assistant", "content": "\n  No."},
    {"role": "user", "content": "continue"},
    {"role": "assistant", "content": "Yes."},
]
WANTED = (
    "<|im_start|>user\nIs rain wet?<|im_end|>\n<|im_start|>assistant\n\n  No.<|im_end|>\n"
    "<|im_start|>user\ncontinue<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n"
)


def test_the_encoded_row_has_no_system_turn_though_the_template_adds_one(either):
    assert stock_system_text(either), "this template adds no system text: the test shows nothing"
    encoded = encode(either, ROW, 512, bare=True)
    assert either.decode(encoded.input_ids) == bare_text(either, ROW) == WANTED
    trained = [i for i, label in zip(encoded.input_ids, encoded.labels, strict=True) if label >= 0]
    assert either.decode(trained) == "\n  No.<|im_end|>Yes.<|im_end|>"
    assert set(encoded.labels) - set(encoded.input_ids) == {IGNORED}


def test_the_proof_of_a_training_reads_the_same_row_a_second_way(either):
    encoded = encode(either, ROW, 512, bare=True)
    row = (encoded.input_ids, encoded.labels)
    assert mask_proof.expected(either, ROW, bare=True) == row
    consumed = {mask_proof.row_digest(*row): 2}
    found = mask_proof.proof(either, [ROW], consumed, 2, bare=True)
    assert (found["rows_proven"], found["tokens_expected"]) == (1, 2 * encoded.trained_tokens)
    explicit = [{"role": "system", "content": stock_system_text(either)}, *ROW]
    assert mask_proof.proof(either, [explicit], consumed, 2)["rows_proven"] == 0


def test_a_row_with_a_system_text_is_refused_where_it_must_have_none(either):
    with pytest.raises(
        MaskError, match=r"row 2: .*has a system text, but phase2\.system is 'none'"
    ):
        encode_rows(either, [ROW, [{"role": "system", "content": "Hi."}, *ROW]], 512, bare=True)


CANNOT = {
    "the system text is part of the user's turn": INJECTING_TEMPLATE.replace(
        "{% for turn in messages %}",
        "{% for turn in messages if turn.role != 'system' %}",
    ).replace(
        "{{ turn.content }}",
        "{% if loop.first and messages[0].role == 'system' %}{{ messages[0].content }}\n\n"
        "{% endif %}{{ turn.content }}",
    ),
    "a second system turn follows": INJECTING_TEMPLATE.replace(
        "{% for turn in messages %}",
        "{% for turn in messages %}{% if loop.index == 2 %}"
        "<|im_start|>system\nToday.<|im_end|>\n{% endif %}",
    ),
    "later turns depend on it": INJECTING_TEMPLATE.replace(
        "{{ turn.content }}",
        "{{ turn.content }}{% if loop.last %}{{ messages[0].content }}{% endif %}",
    ),
}


@pytest.mark.parametrize("template", CANNOT.values(), ids=CANNOT)
def test_a_template_that_cannot_express_it_is_refused_in_one_line(qwen_like, template):
    assert template != INJECTING_TEMPLATE
    other = copy.deepcopy(qwen_like)
    other.chat_template = template
    with pytest.raises(ModelError, match=r"without a system turn; set phase2\.system") as refusal:
        encode(other, ROW, 512, bare=True)
    assert "\n" not in str(refusal.value)
