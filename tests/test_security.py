"""Nothing that a run holds, a model writes or a person types is ever executed."""

from __future__ import annotations

import ast
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from lib_files import FILES

from lib.config import params
from lib.config.params import ROOT
from lib.data import catalogue
from lib.models import chat_models, hub
from lib.models.chatml import ModelError
from lib.run.log import Log
from lib.run.runs import Run
from lib.training import checkpoints
from lib.training.adapters import AdapterError, check_weights
from lib.training.memory import TrainingError

SOURCES = [*FILES, *sorted((ROOT / "notebooks").glob("*.py")), *(ROOT / "benchmarks").glob("*.py")]
PICKLES = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"}
# Calls that execute text, or read a pickle.
FORBIDDEN = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "torch.load",
    "torch.save",
    "pd.read_pickle",
    "yaml.unsafe_load",
    "yaml.full_load",
}
CANARY = "sk-canary-0123456789"


def called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def faults(source: str) -> list[str]:
    """What a file may not do, as the code that does it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in PICKLES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            options = {option.arg: ast.unparse(option.value) for option in node.keywords}
            name = called(node)
            loads_array = name == "np.load" and options.get("allow_pickle") != "False"
            loads_yaml = name == "yaml.load" and options.get("Loader") != "_Loader"
            shell = options.get("shell", "False") != "False"
            remote = options.get("trust_remote_code", "False") != "False"
            config = name.startswith("Auto") and name.endswith(".from_pretrained")
            unsaid = config and "trust_remote_code" not in options
            if name in FORBIDDEN or loads_array or loads_yaml or shell or remote or unsaid:
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_file_reads_a_pickle_or_executes_a_text(path):
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "subprocess.run(text, shell=True)",
        "eval(completion)",
        "AutoTokenizer.from_pretrained(folder)",
        "AutoModel.from_pretrained(folder, trust_remote_code=True)",
    ],
)
def test_the_search_finds_what_it_is_for(planted):
    assert faults(planted)


def test_yaml_makes_plain_values_only(tmp_path, monkeypatch):
    from lib.config import once

    mark = tmp_path / "executed"
    with pytest.raises(yaml.YAMLError):
        once.read_yaml(f"a: !!python/object/apply:os.mkdir ['{mark}']")
    assert not mark.exists()


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def test_a_pickle_in_a_run_folder_is_never_read(tmp_path, smoke):
    mark = tmp_path / "executed"
    folder = tmp_path / "checkpoint-4"
    folder.mkdir()
    names = ("optimizer.pt", "rng_state.pth", "adapter_model.bin", "pytorch_model.bin")
    for name in names:
        (folder / name).write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(TrainingError, match="a pickle, which is not read: delete the checkpoint"):
        checkpoints.load_optimizer(folder, None, None)
    with pytest.raises(AdapterError, match=r"no adapter_model\.safetensors, the only weights"):
        check_weights(folder)
    own = smoke.model.model_copy(update={"source": "path", "name": str(folder)})
    with pytest.raises(ModelError, match=r"no \*\.safetensors there"):
        chat_models.base_dir(own)
    assert not mark.exists()


def test_every_download_is_checked():
    for name, entry in catalogue.catalogue().items():
        if "embedded" not in entry and "built" not in entry:
            assert re.fullmatch("[0-9a-f]{64}", entry["sha256"]), name
        assert not (entry.get("url") or "https://").startswith("http:"), name
    for path in params.PARAMS_DIR.glob("*.yaml"):
        if params.is_profile(path):
            model = params.load_profile(path.stem).model
            assert model.source != "hub" or hub.COMMIT.fullmatch(model.revision or ""), path.name
    assert not [name for name in hub.FETCHED if name.endswith((".bin", ".pt", ".py", "*"))]


def test_a_key_is_redacted_in_log_notebook_and_error(tmp_path, monkeypatch):
    """A notebook that prints its key, warns with it and fails with it; then the log of a run."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", CANARY)
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    code = (
        "import os, sys, warnings, logging\nfrom lib.run.secrets import guard_kernel\n"
        "from lib.notebook import show_html\nguard_kernel()\nkey = os.environ['ANTHROPIC_API_KEY']",
        "print('key', key)\nprint(key, file=sys.stderr)\nwarnings.warn(key)\n"
        "logging.error(key)\nshow_html(key)",
        "import pandas as pd\nfrom IPython.display import HTML, display\n"
        "display(pd.DataFrame({'k': [key]}), HTML(key))\nkey",
        "raise ValueError(f'the API rejected {key}')",
    )
    cells = [nbformat.v4.new_code_cell(text) for text in code]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    nbformat.write(notebook, tmp_path / "in.ipynb")
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "in.ipynb", "out.ipynb"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    executed = (tmp_path / "out.ipynb").read_text()
    assert done.returncode and "the API rejected [ANTHROPIC_API_KEY]" in done.stderr, done.stderr
    assert executed.count("[ANTHROPIC_API_KEY]") >= 10
    log = Log(Run("r"))
    log.write(f"key {CANARY}")
    log.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
    assert CANARY not in done.stdout + done.stderr


def test_texts_of_models_are_only_parsed():
    """Code that a model wrote is looked at by its lines; nothing compiles it."""
    judges = [path for path in FILES if "judge" in Path(path).parts]
    for path in judges:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                assert called(node) not in ("ast.parse", "subprocess.run", "subprocess.Popen"), path
