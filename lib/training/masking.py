"""Which tokens carry loss: every assistant turn with its end-of-turn token, nothing else; proven, and shown in colour.

Stock chat templates mark no assistant tokens, and loss then falls on the whole sequence without a word. So rows are
encoded here, with a template whose `generation` blocks hold content and end-of-turn, and every mask is proven against
an independent reading of the stock rendering (docs/protocol.md sections 4 and 8).
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from transformers.utils.chat_template_utils import render_jinja_template

from lib.display import html
from lib.models.chat_models import END_OF_TURN, START_OF_TURN, prompt_text, spelled_token, turn_ids

IGNORED = -100  # the label of a token without loss, PyTorch's convention
TRAINING_TEMPLATE = (
    "{% for message in messages %}"
    f"{{{{ '{START_OF_TURN}' + message['role'] + '\\n' }}}}"
    "{% if message['role'] == 'assistant' %}"
    f"{{% generation %}}{{{{ message['content'] + '{END_OF_TURN}' }}}}{{% endgeneration %}}"
    f"{{% else %}}{{{{ message['content'] + '{END_OF_TURN}' }}}}{{% endif %}}"
    "{{ '\\n' }}{% endfor %}"
)


class MaskError(ValueError):
    """A row whose loss mask is not exactly its assistant turns; stops the run."""


@dataclass(frozen=True)
class Encoded:
    """One training row: token ids, labels (-100 where no loss), and which assistant turn (1, 2, …; 0 = none) a token is."""

    input_ids: list[int]
    labels: list[int]
    turns: list[int]

    @property
    def trained_tokens(self) -> int:
        return sum(label != IGNORED for label in self.labels)


def encode(
    tokenizer, messages: list[dict], max_length: int, *, template: str = TRAINING_TEMPLATE
) -> Encoded:
    """Encodes and proves one conversation. Raises MaskError: wrong mask, silent system text, or longer than max_length.

    An assistant turn is tokenised apart from what stands before it, as at generation (`models.turn_ids` tells why).
    """
    (text,), (spans,) = render_jinja_template(
        conversations=[messages],
        chat_template=template,
        return_assistant_tokens_mask=True,
        **tokenizer.special_tokens_map,
    )
    pieces, told = [], 0  # (text, its assistant turn)
    for turn, (start, end) in enumerate(spans, start=1):
        pieces += [(text[told:start], 0), (text[start:end], turn)]
        told = end
    pieces.append((text[told:], 0))
    piece_ids = tokenizer([piece for piece, _ in pieces], add_special_tokens=False)["input_ids"]
    tokens = [(i, turn) for ids, (_, turn) in zip(piece_ids, pieces, strict=True) for i in ids]
    encoded = Encoded(
        [i for i, _ in tokens],
        [i if turn else IGNORED for i, turn in tokens],
        [turn for _, turn in tokens],
    )
    prove(tokenizer, messages, encoded, max_length)
    return encoded


def prove(tokenizer, messages: list[dict], encoded: Encoded, max_length: int) -> None:
    """Checks a row against the stock rendering; raises MaskError naming what is wrong and the remedy."""
    if messages[0]["role"] != "system" or not messages[0]["content"].strip():
        raise MaskError(
            "a training row has no system text; the template would inject one silently, add it to the row"
        )
    stock = tokenizer.apply_chat_template(messages, tokenize=False)
    for message in messages:
        if token := spelled_token(tokenizer, message["content"]):
            raise MaskError(
                f"a {message['role']} message contains the special token {token!r}, which would end its turn or "
                "begin another; drop the row"
            )
    expected_ids = turn_ids(tokenizer, messages, stock)
    if encoded.input_ids != expected_ids:
        raise MaskError(
            f"the training template gives {len(encoded.input_ids)} tokens, the stock one {len(expected_ids)}, and they "
            "differ; the training template must render byte-identically"
        )
    if len(encoded.input_ids) > max_length:
        raise MaskError(
            f"a row has {len(encoded.input_ids)} tokens, max_length is {max_length}: the end of its last turn would be "
            "cut away; raise max_length or shorten the row"
        )
    # Some tokenizers compose accents; the tokens are the stock ones, so texts are compared in one composed form.
    expected = [_composed(m["content"] + END_OF_TURN) for m in messages if m["role"] == "assistant"]
    found = [
        _decode_turn(tokenizer, encoded, turn)
        for turn in range(1, max(encoded.turns, default=0) + 1)
    ]
    if not expected:
        raise MaskError(
            "a training row has no assistant turn, so nothing of it would be trained; drop the row"
        )
    if found != expected:
        raise MaskError(
            f"loss falls on {len(found)} spans {found!r:.200}, expected the {len(expected)} assistant turns with their "
            f"end-of-turn {expected!r:.200}; mend the training template's generation blocks"
        )
    wrong = [
        i
        for i, t, label in zip(encoded.input_ids, encoded.turns, encoded.labels, strict=True)
        if label != (i if t else IGNORED)
    ]
    if wrong:
        raise MaskError(
            f"{len(wrong)} labels disagree with the mask; labels must be the token inside turns, -100 outside"
        )


def expected(tokenizer, messages: list[dict]) -> tuple[list[int], list[int]]:
    """Token ids and labels of a conversation, read off the stock rendering alone: no training template, no `encode`.

    The text is cut before and after every assistant turn, and each piece is tokenised apart.
    """
    text, ids, labels, told = tokenizer.apply_chat_template(messages, tokenize=False), [], [], 0
    for number in [n for n, message in enumerate(messages) if message["role"] == "assistant"]:
        start = len(prompt_text(tokenizer, messages[:number]))
        end = start + len(messages[number]["content"] + END_OF_TURN)
        before, turn = tokenizer([text[told:start], text[start:end]], add_special_tokens=False)[
            "input_ids"
        ]
        ids += before + turn
        labels += [IGNORED] * len(before) + turn
        told = end
    after = tokenizer(text[told:], add_special_tokens=False)["input_ids"]
    return ids + after, labels + [IGNORED] * len(after)


def row_digest(input_ids, labels) -> str:
    """A short name of one row's tokens and labels."""
    return hashlib.sha256(
        np.asarray([list(input_ids), list(labels)], dtype=np.int64).tobytes()
    ).hexdigest()[:16]


def proof(
    tokenizer, conversations: Sequence[list[dict]], consumed: Mapping[str, int], epochs: int
) -> dict:
    """What a training really did with its conversations, for its manifest.

    consumed: how often the trainer took each row (`row_digest`). A conversation is proven where it was taken once an epoch
    with loss on exactly its assistant turns; tokens_expected: the tokens with loss, had all been.
    """
    read = [expected(tokenizer, messages) for messages in conversations]
    planned = Counter(row_digest(ids, labels) for ids, labels in read)
    return {
        "rows": len(conversations),
        "rows_proven": sum(n for row, n in planned.items() if consumed.get(row, 0) == epochs * n),
        "tokens_expected": epochs * sum(label != IGNORED for _, labels in read for label in labels),
    }


def _decode_turn(tokenizer, encoded: Encoded, turn: int) -> str:
    ids = [i for i, t in zip(encoded.input_ids, encoded.turns, strict=True) if t == turn]
    return _composed(tokenizer.decode(ids, skip_special_tokens=False))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def coloured(tokenizer, encoded: Encoded, title: str = "") -> str:
    """Show a row as HTML: each assistant turn in its colour, what carries no loss in grey."""
    pieces, start = [], 0  # (text, its assistant turn)
    for position in range(1, len(encoded.turns) + 1):
        if position == len(encoded.turns) or encoded.turns[position] != encoded.turns[start]:
            text = tokenizer.decode(encoded.input_ids[start:position])
            pieces.append((text, encoded.turns[start]))
            start = position
    labels = {1: "loss: first assistant turn", 2: "loss: second assistant turn", 0: "no loss"}
    legend = {turn: label for turn, label in labels.items() if turn in encoded.turns}
    return html.render("mask", title=title, pieces=pieces, legend=legend)
