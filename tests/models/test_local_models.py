"""Models on this machine: the folder that a name stands for, and what it says of its weights."""

import pytest

from lib.config.recipes import ModelParams
from lib.models import chat_models, local_models
from lib.models import hub as hub_models
from lib.models.chatml import ModelError

SAID = "Qwen's official Q4_K_M file, dequantised, sha256 cc324af070c2"


def hub(name="Someone/Some-Model"):
    return ModelParams(source="hub", name=name, revision="r", dtype="float32", system_text="S")


def test_a_hub_model_is_looked_for_in_the_folder_of_models_first(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_models, "snapshot", lambda model: tmp_path / "fetched")
    monkeypatch.setenv(local_models.MODELS_DIR_VARIABLE, str(tmp_path))
    assert chat_models.base_dir(hub()) == tmp_path / "fetched"
    folder = tmp_path / "some-model"
    folder.mkdir()
    with pytest.raises(ModelError, match=r"no \*\.safetensors there"):
        chat_models.base_dir(hub())
    (folder / "model.safetensors").write_bytes(b"w")
    assert chat_models.base_dir(hub()) == local_models.own_folder(hub()) == folder


@pytest.mark.parametrize("revision", [None, "main", "v1.0", "a09a35458c702b33", "A" * 40])
def test_a_model_of_the_hub_is_named_by_its_whole_commit(revision):
    named = hub().model_copy(update={"revision": revision})
    with pytest.raises(ModelError, match="give the hub's full commit, 40 hexadecimal digits"):
        chat_models.base_dir(named)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (SAID.encode() + b"\n", SAID),
        (f"\n  {SAID}  \nand more\n".encode(), SAID),
        (b"", None),
        (b" \n\n", None),
        (b"<script>alert(1)</script>", "<script>alert(1)</script>"),  # the page escapes it
        ("a\u202eb\x1b[31m\x00".encode(), "a\ufffdb\ufffd[31m\ufffd"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"x" * 100_000, "x" * 239 + "…"),
    ],
    ids=["line", "first line", "empty", "blank", "markup", "control", "no text", "long"],
)
def test_the_origin_of_weights_is_one_bounded_line_that_prints(tmp_path, written, shown):
    assert local_models.weights_origin(tmp_path) is None
    (tmp_path / "WEIGHTS.txt").write_bytes(written)
    assert local_models.weights_origin(tmp_path) == shown
