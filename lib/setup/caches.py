"""Choose writable folders for downloads and compiled kernels.

`lib/__init__.py` calls `settle()` before any library reads its cache variable, so this file needs
the standard library only. A user's folder is kept if it can be written. Otherwise the project's
cache takes its place and one line says so. A run then does not fail after hours of sampling.
"""

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Variables that name the cache of one library. Each has a default, so it matters only when set.
LIBRARY_CACHES = (
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "TRANSFORMERS_CACHE",
    "HF_DATASETS_CACHE",
    "HF_DATASETS_DOWNLOADED_DATASETS_PATH",
    "HF_DATASETS_EXTRACTED_DATASETS_PATH",
    "HF_MODULES_CACHE",
    "HF_EVALUATE_CACHE",
    "HF_METRICS_CACHE",
    "HF_ASSETS_CACHE",
    "HF_XET_CACHE",
    "SENTENCE_TRANSFORMERS_HOME",
    "LM_HARNESS_CACHE_PATH",
    "TORCH_HOME",
    "TORCHINDUCTOR_CACHE_DIR",
    "TORCH_EXTENSIONS_DIR",
    "TRITON_HOME",
    "CUDA_CACHE_PATH",
    "NUMBA_CACHE_DIR",
    "VLLM_CACHE_ROOT",
    "VLLM_CONFIG_ROOT",
    "FLASHINFER_WORKSPACE_BASE",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "IPYTHONDIR",
)
# Folders that Hugging Face writes inside HF_HOME. Each may belong to somebody else.
INSIDE_HF_HOME = ("hub", "datasets", "modules", "assets", "xet")


class CacheError(OSError):
    """The project's cache folder cannot be written. One line with the remedy."""


def cache_root() -> Path:
    """The project's cache: SELFCORRECT_CACHE_DIR, or `.cache` beside the runs.

    A relative name counts from the project's folder: make and the notebooks work in different ones.
    """
    runs = ROOT / (os.environ.get("SELFCORRECT_RUNS_DIR") or "runs")
    return (ROOT / (os.environ.get("SELFCORRECT_CACHE_DIR") or runs / ".cache")).resolve()


def cache_dir(*parts: str) -> Path:
    """A folder of the project's cache, made and writable. Raises CacheError."""
    path = cache_root().joinpath(*parts)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not usable(path):
            raise PermissionError(f"{path} is not writable")
    except OSError as error:
        raise CacheError(
            f"the cache folder {path} cannot be written ({error.strerror or 'not writable'}); "
            "name one that can: SELFCORRECT_CACHE_DIR=FOLDER"
        ) from None
    return path


def usable(path: Path) -> bool:
    """Whether a folder takes new files; if it does not exist, its nearest parent."""
    try:
        while not path.exists():
            if path.parent == path:
                return False
            path = path.parent
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            return False
        with tempfile.TemporaryFile(dir=path):  # a full or read-only disk shows only here
            return True
    except OSError:
        return False


def settle() -> None:
    """Point every cache variable at a writable folder. Prints one line per variable that moves."""
    home = _home()
    if home is None or not usable(home):
        _move("HOME", "home", "the home folder")
        home = Path(os.environ["HOME"])
    for name in LIBRARY_CACHES:
        _check(name, None, name.lower())
    _check("XDG_CACHE_HOME", home / ".cache", "xdg")
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    _check("JUPYTER_RUNTIME_DIR", data / "jupyter" / "runtime", "jupyter")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    _check("MPLCONFIGDIR", config / "matplotlib", "matplotlib")
    triton = Path(os.environ.get("TRITON_HOME") or home)
    _check("TRITON_CACHE_DIR", triton / ".triton" / "cache", "triton")
    _settle_hugging_face(Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "huggingface")


def _settle_hugging_face(default: Path) -> None:
    """Keep the user's HF_HOME, which has models and the login, if it can be written.

    Otherwise, or if nobody uses it yet, HF_HOME is the project's cache.
    """
    given = os.environ.get("HF_HOME")
    folder = Path(given).expanduser() if given else default
    inside = [folder / name for name in INSIDE_HF_HOME]
    if all(usable(path) for path in [folder, *inside]):
        if not given and not folder.exists():  # nobody uses it yet: keep the models with the runs
            os.environ["HF_HOME"] = str(cache_root() / "huggingface")
        return
    _move("HF_HOME", "huggingface", f"HF_HOME {folder}" if given else str(folder))


def _home() -> "Path | None":
    """The user's home folder, or None if there is none."""
    try:
        home = Path.home()
    except RuntimeError:  # no HOME and no entry for this user
        return None
    return home if home.is_absolute() else None


def _check(name: str, default: "Path | None", part: str) -> None:
    """Move a variable to `part` of the project's cache if its folder cannot be written.

    default: the folder that applies if the variable is not set. None: nothing to check then.
    """
    given = os.environ.get(name)
    path = Path(given).expanduser() if given else default
    if path is not None and not usable(path):
        _move(name, part, f"{name} {path}" if given else str(path))


def _move(name: str, part: str, what: str) -> None:
    """Point a variable at `part` of the project's cache, and print that `what` is replaced."""
    folder = cache_root() / part
    os.environ[name] = str(folder)
    if usable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    print(f"{what} cannot be written; {folder} is used instead", file=sys.stderr)
