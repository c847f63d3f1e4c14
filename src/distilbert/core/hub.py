"""Find the folder of a model: a local folder, an installed package, or the hub.

Models are downloaded here and nowhere else. ``data/data_sources.py`` opens connections for data sets of the library
``datasets``, and ``data/addresses.py`` for files at addresses such as ``s3://bucket/rows.jsonl``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from . import installed
from .errors import ModelNotFoundError
from .json_files import read_json

Kind = Literal["model", "config", "tokenizer", "model and tokenizer"]
TOKENIZER_FILES = (
    "vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja",
)  # fmt: skip
CHAT_TEMPLATES = "additional_chat_templates/*.jinja"
MODEL_FILES = ("config.json", "quantization.safetensors")
# Of sentence-transformers: the parts of a model, what is said of all of it, and how its encoder reads texts.
SENTENCE_MODULES, SENTENCE_CONFIG, SENTENCE_ENCODER_CONFIG = (
    "modules.json", "config_sentence_transformers.json", "sentence_bert_config.json",
)  # fmt: skip
SENTENCE_FILES = (SENTENCE_MODULES, SENTENCE_CONFIG, SENTENCE_ENCODER_CONFIG, "[0-9]*_*/*")
PACKED = "packed"  # weights laid out for one machine
LOCAL_FOLDERS = ("checkpoints", "tensorboard", "cache", "runs", PACKED)  # beside a model, and no part of it
PATTERNS: dict[Kind, list[str]] = {
    "config": ["config.json"],
    "tokenizer": ["config.json", *TOKENIZER_FILES, CHAT_TEMPLATES],
    "model": [*MODEL_FILES],
    "model and tokenizer": [*MODEL_FILES, *TOKENIZER_FILES, CHAT_TEMPLATES, *SENTENCE_FILES],
}
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack")  # the preferred first
TIMEOUT = 3.0  # seconds
ONLINE_OFF = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def resolve(
    name_or_path: str | os.PathLike[str],
    *,
    kind: Kind = "model",
    cache_dir: str | os.PathLike[str] | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    subfolder: str = "",
    weight_files: Sequence[str] = WEIGHT_FILES,
    variant: str | None = None,
) -> Path:
    """Return the folder that holds a model, after downloading what is not in the cache.

    A folder of that path comes first, then a model that is installed as a package, then the hub.

    Args:
        name_or_path: a folder, the name of an installed model, or a name on the hub such as ``"user/model"``.
        kind: which files are needed: those of a model, of its tokenizer, of both, or the configuration alone.
        cache_dir: where downloads are kept; the hub library's default otherwise.
        revision: branch, tag or commit.
        token: an access token, True for the one stored on this machine, or False for none.
        local_files_only: use the cache only; so does ``HF_HUB_OFFLINE=1`` or ``TRANSFORMERS_OFFLINE=1``.
        force_download: download again what is in the cache.
        subfolder: folder inside the model's.
        weight_files: formats of the weights, by the names of their files. The first that the hub has is downloaded.
        variant: download the weights of a variant, such as ``"fp16"``; see :func:`variant_name`.

    Raises:
        ModelNotFoundError: there is no such folder or installed model, and the hub has none or cannot be reached. The
            message says what was tried.
    """
    name = os.fspath(name_or_path)
    folder = Path(name).expanduser()
    if folder.exists() and not folder.is_dir():
        raise ModelNotFoundError(f"{folder} is a file; a model is a folder with config.json and weights in it.")
    local = folder if folder.is_dir() else installed.find_installed(name)
    if local is not None:
        if not (local / subfolder).is_dir():
            raise ModelNotFoundError(f"{local} has no folder {subfolder!r} in it.")
        return encoder_folder(local / subfolder)
    if not _could_be_hub_name(name):
        raise ModelNotFoundError(f"There is no folder {folder}{_siblings(folder)}.")
    offline = local_files_only or any(os.environ.get(v, "").upper() in ("1", "TRUE", "YES", "ON") for v in ONLINE_OFF)
    options: dict[str, Any] = {
        "cache_dir": cache_dir,
        "revision": revision,
        "token": token,
        "local_files_only": offline,
        "force_download": force_download,
    }
    patterns = PATTERNS[kind]
    if kind not in ("model", "model and tokenizer"):
        root = _download(name, _inside(subfolder, patterns), options)
    else:
        for file in weight_files:
            shards, index = weight_patterns(file, variant)
            root = _download(name, _inside(subfolder, [patterns[0], shards, index, *patterns[1:]]), options)
            if any((root / subfolder).glob(shards)):
                break
            patterns = ["config.json"]
    if not (root / subfolder).is_dir():
        raise ModelNotFoundError(f"{name} on the hub has no folder {subfolder!r} in it, or it is not in the cache.")
    return encoder_folder(root / subfolder)


def encoder_folder(folder: Path) -> Path:
    """Return where the encoder is: in the folder, or in one that ``modules.json`` of sentence-transformers names.

    Until 2021 the encoder had a folder of its own, such as ``0_DistilBERT`` or ``0_Transformer``.
    """
    modules = folder / SENTENCE_MODULES
    if (folder / "config.json").is_file() or not modules.is_file():
        return folder
    parts = read_json(modules, ModelNotFoundError)
    first = parts[0] if isinstance(parts, list) and parts else None
    name = first.get("path") if isinstance(first, dict) else None
    if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name:
        return folder
    return folder / name


def modules_folder(folder: Path) -> Path | None:
    """Return where ``modules.json`` of an encoder is: in its folder or in the one above; None if there is none.

    Args:
        folder: of the encoder, as :func:`encoder_folder` returns it.
    """
    root = next((each for each in (folder, folder.parent) if (each / SENTENCE_MODULES).is_file()), None)
    return root if root is not None and encoder_folder(root).resolve() == folder.resolve() else None


def variant_name(file: str, variant: str | None) -> str:
    """Return the name of a variant's file: ``model.safetensors`` is ``model.fp16.safetensors`` for ``"fp16"``."""
    stem, suffix = file.rsplit(".", 1)
    return f"{stem}.{variant}.{suffix}" if variant else file


def weight_patterns(file: str, variant: str | None = None) -> tuple[str, str]:
    """Return a pattern for a weights file and its shards, and the name of the index of the shards."""
    stem, suffix = variant_name(file, variant).rsplit(".", 1)
    return f"{stem}*.{suffix}", variant_name(f"{file}.index.json", variant)


def push(
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    commit_description: str | None = None,
    create_pr: bool = False,
    ignore_patterns: Sequence[str] | None = None,
) -> str:
    """Upload the files of ``folder`` to a repository on the hub, which is created if needed.

    A ``revision`` that is not there yet is created as a branch; files that match ``ignore_patterns`` stay here.

    Returns:
        The address of the commit.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    repo = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    if revision is not None and not create_pr and not revision.startswith("refs/"):
        api.create_branch(repo, branch=revision, exist_ok=True)
    commit = api.upload_folder(
        repo_id=repo,
        folder_path=Path(folder),
        revision=revision,
        commit_message=commit_message or "Upload with distilbert",
        commit_description=commit_description,
        create_pr=create_pr,
        ignore_patterns=None if ignore_patterns is None else list(ignore_patterns),
    )
    return str(commit.commit_url)


def push_saved(save: Callable[[Path], object], repo_id: str, **options: Any) -> str:
    """Upload what ``save`` writes into a folder; the other arguments and the result are those of :func:`push`."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save(folder)
        return push(folder, repo_id, **options)


def _download(name: str, patterns: list[str], options: dict[str, Any]) -> Path:
    from huggingface_hub import snapshot_download

    unreachable = "" if options["local_files_only"] else _why_unreachable()
    if unreachable:
        options = options | {"local_files_only": True}
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, **options))
    except Exception as error:  # the hub library has many: for the network, for rights, for names that do not exist
        where = f" in {options['cache_dir']}" if options["cache_dir"] else ""
        if unreachable:
            raise ModelNotFoundError(
                f"There is no model {name!r}: no folder of that name in {Path.cwd()}, no installed model, it is not in "
                f"the hub's cache{where}, and the hub cannot be reached: {unreachable}.{installed.nearby(name)}"
            ) from error
        tried = f"the hub's cache{where} (offline)" if options["local_files_only"] else f"the hub and its cache{where}"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelNotFoundError(
            f"There is no model {name!r}: no folder of that name in {Path.cwd()}, no installed model, and {tried} "
            f"gave: {reason}{installed.nearby(name)}"
        ) from error


def _why_unreachable() -> str:
    """Return why no connection to the hub can be opened; empty if one can, or if only the hub library knows.

    Without this, that library would try for half a minute. It knows about proxies, and it waits for slow networks.
    """
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    from huggingface_hub.constants import ENDPOINT

    if getproxies():
        return ""
    address = urlsplit(ENDPOINT)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), TIMEOUT).close()
    except TimeoutError:
        return ""
    except OSError as error:
        return f"{address.hostname}: {error.strerror or error}"
    return ""


def _inside(subfolder: str, patterns: list[str]) -> list[str]:
    return [f"{subfolder}/{pattern}" if subfolder else pattern for pattern in patterns]


def _could_be_hub_name(name: str) -> bool:
    return bool(name) and name.count("/") <= 1 and not name.startswith((".", "/", "~")) and "\\" not in name


def _siblings(folder: Path) -> str:
    """List what the nearest existing parent folder holds, so that a wrong path is easy to see."""
    parent = next((parent for parent in folder.absolute().parents if parent.is_dir()), None)
    if parent is None:
        return ""
    names = sorted(path.name for path in parent.iterdir())[:10]
    return f"; {parent} holds {', '.join(names) or 'nothing'}"
