"""Which tokens carry loss: every assistant turn with its end-of-turn token, and nothing else.

Stock chat templates mark no assistant tokens, and loss then silently covers the whole sequence. So
rows are encoded here, with a template whose `generation` blocks hold each turn's content and
end-of-turn token. Every mask is proven against an independent reading of the stock rendering
(docs/protocol.md sections 4 and 8).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from lib.display import html
from lib.models.chat_models import spelled_token, turn_ids
from lib.models.chatml import END_OF_TURN, START_OF_TURN
from lib.models.rendering import bare_text, rendered, text_of

# With `return_assistant_tokens_mask`: each text, and where its assistant turns begin and end.
# transformers annotates what comes back without it.
Rendered = tuple[list[str], list[list[tuple[int, int]]]]
_render: Callable[..., Rendered] = render_jinja_template  # pyright: ignore[reportAssignmentType]
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
    """A row's loss mask is not exactly its assistant turns. One line with the remedy."""


@dataclass(frozen=True)
class Encoded:
    """One training row, token by token."""

    input_ids: list[int]
    """Token ids."""

    labels: list[int]
    """The token itself where it carries loss, else -100."""

    turns: list[int]
    """The assistant turn (1, 2, …) that holds the token; 0 = none."""

    @property
    def trained_tokens(self) -> int:
        """Tokens that carry loss."""
        return sum(label != IGNORED for label in self.labels)


def encode(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict],
    max_length: int,
    *,
    template: str = TRAINING_TEMPLATE,
    bare: bool = False,
) -> Encoded:
    """Encode one conversation and prove its mask.

    An assistant turn is tokenised separately from the text before it, as at generation
    (`chat_models.turn_ids` says why). bare: whether the row has no system turn, not even the one
    that a stock template would add. Raises MaskError: a wrong mask, a silent system text, or a row
    longer than max_length.
    """
    (text,), (spans,) = _render(
        conversations=[messages],
        chat_template=template,
        return_assistant_tokens_mask=True,
        **tokenizer.special_tokens_map,
    )
    pieces = []
    turn_of_piece = []
    end_before = 0
    for turn, (start, end) in enumerate(spans, start=1):
        pieces += [text[end_before:start], text[start:end]]
        turn_of_piece += [0, turn]
        end_before = end
    pieces.append(text[end_before:])
    turn_of_piece.append(0)
    input_ids: list[int] = []
    turns: list[int] = []
    piece_ids = tokenizer(pieces, add_special_tokens=False)["input_ids"]
    for ids, turn in zip(piece_ids, turn_of_piece, strict=True):
        input_ids += ids
        turns += [turn] * len(ids)
    encoded = Encoded(input_ids, _labels(input_ids, turns), turns)
    prove(tokenizer, messages, encoded, max_length, bare=bare)
    return encoded


def prove(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict],
    encoded: Encoded,
    max_length: int,
    *,
    bare: bool = False,
) -> None:
    """Check a row against the stock rendering. Raises MaskError with the fault and the remedy.

    bare: whether the row has no system turn. The stock rendering is then read without one.
    """
    _check_system(messages, bare)
    for message in messages:
        if token := spelled_token(tokenizer, message["content"]):
            raise MaskError(
                f"a {message['role']} message contains the special token {token!r}, which would "
                "end its turn or begin another; drop the row"
            )
    stock_text = bare_text(tokenizer, messages) if bare else rendered(tokenizer, messages)
    stock_ids = turn_ids(tokenizer, messages, stock_text, bare=bare)
    if encoded.input_ids != stock_ids:
        raise MaskError(
            f"the training template gives {len(encoded.input_ids)} tokens, the stock one "
            f"{len(stock_ids)}, and they differ; the training template must render byte-identically"
        )
    if len(encoded.input_ids) > max_length:
        raise MaskError(
            f"a row has {len(encoded.input_ids)} tokens, max_length is {max_length}: the end of "
            "its last turn would be cut away; raise max_length or shorten the row"
        )
    _prove_turns(tokenizer, messages, encoded)
    labels = _labels(encoded.input_ids, encoded.turns)
    wrong = sum(ours != right for ours, right in zip(encoded.labels, labels, strict=True))
    if wrong:
        raise MaskError(
            f"{wrong} labels disagree with the mask; labels must be the token inside turns, "
            "-100 outside"
        )


def _check_system(messages: list[dict], bare: bool) -> None:
    """Raises MaskError unless the row has a system text, or has none where it must have none."""
    own = messages[0]["role"] == "system"
    if bare and own:
        raise MaskError(
            "a training row has a system text, but phase2.system is 'none'; take it out of the row"
        )
    if not bare and not (own and messages[0]["content"].strip()):
        raise MaskError(
            "a training row has no system text; the template would inject one silently, add it to "
            "the row"
        )


def _prove_turns(
    tokenizer: PreTrainedTokenizerBase, messages: list[dict], encoded: Encoded
) -> None:
    """Raises MaskError unless loss falls on exactly the assistant turns.

    A tokenizer may join a letter and its accent into one sign, so both texts are compared in
    composed form (NFC). That the tokens are the stock ones is already checked.
    """
    assistant_turns = [m["content"] + END_OF_TURN for m in messages if m["role"] == "assistant"]
    trained = [
        _decode_turn(tokenizer, encoded, turn)
        for turn in range(1, max(encoded.turns, default=0) + 1)
    ]
    wanted = [_composed(text) for text in assistant_turns]
    if not wanted:
        raise MaskError(
            "a training row has no assistant turn, so nothing of it would be trained; drop the row"
        )
    if trained != wanted:
        raise MaskError(
            f"loss falls on {len(trained)} spans {trained!r:.200}, expected the {len(wanted)} "
            f"assistant turns with their end-of-turn {wanted!r:.200}; mend the training "
            "template's generation blocks"
        )


def _labels(input_ids: Sequence[int], turns: Sequence[int]) -> list[int]:
    """The token inside assistant turns, -100 outside."""
    return [i if turn else IGNORED for i, turn in zip(input_ids, turns, strict=True)]


def _decode_turn(tokenizer: PreTrainedTokenizerBase, encoded: Encoded, turn: int) -> str:
    ids = [i for i, of in zip(encoded.input_ids, encoded.turns, strict=True) if of == turn]
    return _composed(text_of(tokenizer, ids, skip_special_tokens=False))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def coloured(tokenizer: PreTrainedTokenizerBase, encoded: Encoded, title: str = "") -> str:
    """A row as HTML: each assistant turn in a colour of its own, text without loss in grey."""
    pieces = []  # (text, its assistant turn)
    start = 0
    for position in range(1, len(encoded.turns) + 1):
        if position == len(encoded.turns) or encoded.turns[position] != encoded.turns[start]:
            text = tokenizer.decode(encoded.input_ids[start:position])
            pieces.append((text, encoded.turns[start]))
            start = position
    labels = {1: "loss: first assistant turn", 2: "loss: second assistant turn", 0: "no loss"}
    legend = {turn: label for turn, label in labels.items() if turn in encoded.turns}
    return html.render("mask", title=title, pieces=pieces, legend=legend)
