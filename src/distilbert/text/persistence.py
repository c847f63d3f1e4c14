"""Tokenizers from folders and the hub, and back into folders."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from ..core.errors import TokenizerError, reject_unknown
from ..core.hub import push, resolve
from .added_tokens import AddedToken
from .files import OPTIONS, VOCAB, load_spec, write_spec, write_vocab
from .spec import SPECIAL_NAMES, TokenizerSpec
from .vocabulary import VocabularyAPI

PathLike = str | os.PathLike[str]


def override(spec: TokenizerSpec, options: dict[str, Any]) -> TokenizerSpec:
    """A copy of ``spec`` with other options: names of ``files.OPTIONS``, the special tokens, and lists of tokens."""
    options = {name: value for name, value in options.items() if value is not None or name == "strip_accents"}
    special = {**spec.special}
    tokens = [AddedToken.of(token) for token in options.pop("added_tokens", ())]
    for name in SPECIAL_NAMES:
        if name in options:
            tokens.append(AddedToken.of(options.pop(name), special=True))
            special[name] = tokens[-1].content
    further = spec.additional_special_tokens
    if "additional_special_tokens" in options:
        extra = [AddedToken.of(token, special=True) for token in options.pop("additional_special_tokens")]
        tokens += extra
        further = [token.content for token in extra]
    if "model_max_length" in options:
        options["model_max_length"] = int(options["model_max_length"])
    never_split = tuple(options.pop("never_split", spec.never_split))
    made = replace(
        spec,
        **options,
        special=special,
        additional_special_tokens=list(further),
        added=dict(spec.added),
        never_split=(),
    )
    for token in tokens:
        made.add(token)
    return replace(made, never_split=never_split)


class PersistenceAPI(VocabularyAPI):
    """``from_pretrained``, ``save_pretrained`` and relatives."""

    name_or_path: str

    @classmethod
    def _of_spec(cls, spec: TokenizerSpec, name_or_path: str = "") -> Self:
        made = cls.__new__(cls)
        made._setup(spec, name_or_path)
        return made

    def _setup(self, spec: TokenizerSpec, name_or_path: str) -> None:
        self.name_or_path = name_or_path
        self.model_input_names = ["input_ids", "attention_mask"]
        self._set_spec(spec)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: PathLike,
        *,
        cache_dir: PathLike | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        subfolder: str = "",
        **options: Any,
    ) -> Self:
        """Load the tokenizer of a folder, or of a model on the hub.

        Args:
            pretrained_model_name_or_path: a folder with ``vocab.txt`` or ``tokenizer.json``, or a name on the hub.
            cache_dir: where downloads are kept.
            revision: branch, tag or commit on the hub.
            token: access token of the hub.
            local_files_only: use only what was downloaded before.
            force_download: download again.
            subfolder: where the tokenizer is within the folder or model.
            options: any option of the constructor, which then wins over the files.

        Raises:
            TokenizerError: the files do not describe a BERT-style tokenizer.
            ModelNotFoundError: the name is neither a folder nor a model that could be fetched.
            UnknownArgumentError: there is no such option.
        """
        known = (*OPTIONS, *SPECIAL_NAMES, "additional_special_tokens", "added_tokens")
        reject_unknown(options, known, f"{cls.__name__}.from_pretrained")
        name = os.fspath(pretrained_model_name_or_path)
        if Path(name).is_dir():
            folder = Path(name, subfolder)
        elif Path(name).is_file():
            raise TokenizerError(
                f"{name!r} is a file; from_pretrained takes its folder, vocab_file= takes a vocab.txt."
            )
        else:
            folder = resolve(
                name,
                kind="tokenizer",
                cache_dir=cache_dir,
                revision=revision,
                token=token,
                local_files_only=local_files_only,
                force_download=force_download,
                subfolder=subfolder,
            )
        return cls._of_spec(override(load_spec(folder), options), name)

    def save_pretrained(self, save_directory: PathLike) -> tuple[str, ...]:
        """Write the tokenizer's files into a folder, which is made if it is missing; returns their paths."""
        return write_spec(self.spec, Path(save_directory))

    def save_vocabulary(self, save_directory: PathLike, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write only ``vocab.txt``, as ``PREFIX-vocab.txt`` with a prefix; returns its path."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        return (write_vocab(self.spec.vocab, folder / (f"{filename_prefix}-{VOCAB}" if filename_prefix else VOCAB)),)

    def push_to_hub(self, repo_id: str, **options: Any) -> Any:
        """Upload the tokenizer's files to the hub; ``options`` go to ``distilbert.core.hub.push``."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return push(Path(folder), repo_id, **options)

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[str] | Iterable[list[str]],
        vocab_size: int,
        *,
        min_frequency: int = 2,
        limit_alphabet: int = 1000,
        show_progress: bool = False,
    ) -> Self:
        """Learn a new vocabulary for this tokenizer's options; special and added tokens are kept.

        Args:
            text_iterator: texts, or lists of texts.
            vocab_size: entries of the new vocabulary, special tokens included; fewer if the texts are small.
            min_frequency: how often a pair of pieces must occur to be merged.
            limit_alphabet: how many different characters get an entry.
            show_progress: draw a progress bar on standard error.
        """
        from .training import train_vocabulary

        vocab = train_vocabulary(self.spec, text_iterator, vocab_size, min_frequency, limit_alphabet, show_progress)
        added = {vocab[token.content]: token for _, token in sorted(self.spec.added.items())}
        return type(self)._of_spec(replace(self.spec, vocab=vocab, added=added))

    def __getstate__(self) -> dict[str, Any]:
        return {"spec": self.spec, "name_or_path": self.name_or_path, "model_input_names": self.model_input_names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy shares nothing that add_tokens changes.
        self._setup(copy.deepcopy(state["spec"]), state["name_or_path"])
        self.model_input_names = list(state["model_input_names"])
