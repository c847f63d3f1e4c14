"""The objective of distillation and pretraining: a student, maybe a teacher, and weighted terms, as one module.

All computation with weights happens inside ``forward``, because data-parallel wrappers only see that.

Shapes: B batch, S sequence, M selected tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from ..core.config import DistilBertConfig
from ..core.errors import ConfigError
from ..core.model_checks import IGNORED
from ..models.pytorch import DistilBertForMaskedLM, DistilBertModel
from ..models.pytorch.runner import prepack
from .distill_config import TEXT_TERMS, VOCABULARY_TERMS, DistillConfig
from .loss_terms import (
    VocabularyTerms,
    cosine_term,
    held_out_terms,
    hidden_term,
    pool,
    pooled_term,
    relation_term,
    similarities,
    similarity_term,
    vocabulary_terms,
)

HiddenStates = list[Tensor]  # (B, S, D) each
Encoder = DistilBertModel | DistilBertForMaskedLM


@dataclass(frozen=True)
class LossPlan:
    """The terms of the loss, with every default of ``DistillConfig`` resolved.

    Attributes:
        terms: weight of each term, by name.
        temperature: of ce.
        ce_tokens: tokens of ce and mse, ``"all"`` or ``"masked"``.
        hidden_pairs: (hidden state of the student, hidden state of the teacher); the embeddings are 0.
        relation_layer: block of the teacher, counted from 0.
        relation_heads: number of relation heads.
        pooling: what the vector of a text is, ``"mean"`` or ``"cls"``.
        chunk: tokens whose scores over the vocabulary are in memory at once.
    """

    terms: Mapping[str, float] = field(default_factory=lambda: {"mlm": 1.0})
    temperature: float = 1.0
    ce_tokens: str = "all"
    hidden_pairs: tuple[tuple[int, int], ...] = ()
    relation_layer: int = -1
    relation_heads: int = 1
    pooling: str = "mean"
    chunk: int = 256

    @property
    def compares_vocabulary(self) -> bool:
        """Whether a term compares scores over the vocabulary."""
        return any(name in self.terms for name in VOCABULARY_TERMS)


class DistillObjective(nn.Module):
    """Loss of a student.

    Args:
        student: the model to train; one with a masked-LM head for terms over the vocabulary.
        plan: the terms of the loss.
        teacher: the model to imitate; this module does not train, move or save it. None for the mlm term alone.

    Raises:
        ConfigError: a term needs a teacher, equal widths, or layers that do not exist.
    """

    def __init__(self, student: Encoder, plan: LossPlan, teacher: Encoder | None = None) -> None:
        super().__init__()
        self.student = student
        self.plan = plan
        self._teacher: tuple[Encoder | None] = (teacher,)  # a tuple hides it from nn.Module
        self.projections = nn.ModuleList()
        self._check()
        if "hidden" in plan.terms and teacher is not None and teacher.config.dim != student.config.dim:
            self.projections.extend(
                nn.Linear(student.config.dim, teacher.config.dim, bias=False, device=student.device)
                for _ in plan.hidden_pairs
            )
        self.text_projection: nn.Module = nn.Identity()
        if "pooled" in plan.terms and teacher is not None and teacher.config.dim != student.config.dim:
            self.text_projection = nn.Linear(student.config.dim, teacher.config.dim, bias=False, device=student.device)

    @property
    def teacher(self) -> Encoder | None:
        """The teacher."""
        return self._teacher[0]

    def place_teacher(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the teacher to ``device`` and ``dtype``, with its weights laid out for the kernels of that device."""
        if self.teacher is not None:
            self._teacher = (cast(Encoder, prepack(self.teacher.to(device, dtype))),)

    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor | None = None,
        counts: Mapping[str, float] | None = None,
        attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a micro-batch, or the sums of an evaluation.

        Args:
            input_ids: (B, S) ids; of packed text, with the selected tokens masked.
            labels: (B, S) original ids of the selected tokens, -100 elsewhere; None for texts of mixed length.
            counts: ``"tokens"``, ``"masked"``, ``"texts"`` and ``"pairs"`` of the whole step; None for an evaluation.
            attention_mask: (B, S), 0 at padding; None: there is none.

        Returns:
            The weighted sum of the terms, and each term without its weight: this micro-batch's contributions to the
            means over the step. For an evaluation its sums and {}: without a masked-LM head (4,) sums over texts and
            pairs, see :meth:`_compare_vectors`; else the (4,) sums of :func:`.loss_terms.held_out_terms`.
        """
        if counts is None:
            if isinstance(self.student, DistilBertForMaskedLM) and labels is not None:
                return self._evaluate(self.student, input_ids, labels), {}
            return self._compare_vectors(input_ids, attention_mask), {}
        plan = self.plan
        all_layers = "hidden" in plan.terms or "relation" in plan.terms
        teacher_states: HiddenStates = []
        if self.teacher is not None:
            with torch.no_grad():
                teacher_states = _hidden_states(self.teacher, input_ids, all_layers, attention_mask)
        states = _hidden_states(self.student, input_ids, all_layers, attention_mask)
        values: dict[str, Tensor] = {}
        loss = input_ids.new_zeros((), dtype=torch.float32)
        if plan.compares_vocabulary:
            assert labels is not None
            loss, values = self._vocabulary(states[-1], teacher_states[-1] if teacher_states else None, labels, counts)
        tokens = counts["tokens"]
        if "cos" in plan.terms:
            values["cos"] = cosine_term(states[-1], teacher_states[-1], tokens, attention_mask)
        if "hidden" in plan.terms:
            terms = []
            for number, (student_state, teacher_state) in enumerate(plan.hidden_pairs):
                state = states[student_state]
                projected = self.projections[number](state) if len(self.projections) else state
                terms.append(hidden_term(projected, teacher_states[teacher_state], tokens, attention_mask))
            values["hidden"] = torch.stack(terms).mean()
        if "relation" in plan.terms:
            values["relation"] = self._relation(states, teacher_states, tokens, attention_mask)
        if "pooled" in plan.terms or "similarity" in plan.terms:
            vectors, targets = (pool(x[-1], attention_mask, plan.pooling) for x in (states, teacher_states))
            if "pooled" in plan.terms:
                values["pooled"] = pooled_term(self.text_projection(vectors), targets, counts["texts"])
            if "similarity" in plan.terms:
                values["similarity"] = similarity_term(vectors, targets, max(counts["pairs"], 1))
        for name in ("cos", "hidden", "relation", *TEXT_TERMS):
            if name in values:
                loss = loss + plan.terms[name] * values[name]
        return loss, {name: values[name].detach() for name in plan.terms}

    def _vocabulary(
        self, hidden: Tensor, teacher_hidden: Tensor | None, labels: Tensor, counts: Mapping[str, float]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the terms over the vocabulary from last hidden states (B, S, D)."""
        assert isinstance(self.student, DistilBertForMaskedLM)
        plan, labels = self.plan, labels.flatten()
        hidden = hidden.flatten(0, 1)  # (B * S, D)
        reads_all_tokens = plan.ce_tokens == "all" and bool({"ce", "mse"} & set(plan.terms))
        if not reads_all_tokens:
            rows = (labels != IGNORED).nonzero().flatten()
            hidden, labels = hidden[rows], labels[rows]  # (M, D), (M,)
            teacher_hidden = None if teacher_hidden is None else teacher_hidden.flatten(0, 1)[rows]
        teacher = self.teacher if {"ce", "mse"} & set(plan.terms) else None
        teacher_features = None
        if isinstance(teacher, DistilBertForMaskedLM) and teacher_hidden is not None:
            with torch.no_grad():
                teacher_features = vocabulary_features(teacher, teacher_hidden.reshape(-1, teacher_hidden.shape[-1]))
        weights = {name: plan.terms.get(name, 0.0) for name in ("ce", "mlm", "mse")}
        return vocabulary_terms(
            vocabulary_features(self.student, hidden),
            self.student.vocab_projector.weight,
            self.student.vocab_projector.bias,
            labels,
            VocabularyTerms(
                **weights,
                temperature=plan.temperature,
                tokens=counts["tokens" if reads_all_tokens else "masked"],
                masked=counts["masked"],
                chunk=plan.chunk,
            ),
            teacher_features,
            teacher.vocab_projector if isinstance(teacher, DistilBertForMaskedLM) else None,
        )

    def _relation(
        self, states: HiddenStates, teacher_states: HiddenStates, tokens: float, mask: Tensor | None
    ) -> Tensor:
        """Sum of the relations between queries, between keys and between values."""
        assert self.teacher is not None
        attention = encoder_of(self.student).transformer.layer[-1].attention
        teacher_attention = encoder_of(self.teacher).transformer.layer[self.plan.relation_layer].attention
        source, teacher_source = states[-2], teacher_states[self.plan.relation_layer]  # input of these blocks
        total = source.new_zeros(())
        for name in ("q_lin", "k_lin", "v_lin"):
            with torch.no_grad():
                target = getattr(teacher_attention, name)(teacher_source)
            total = total + relation_term(
                getattr(attention, name)(source), target, self.plan.relation_heads, tokens, mask
            )
        return total

    @torch.no_grad()
    def _evaluate(self, student: DistilBertForMaskedLM, input_ids: Tensor, labels: Tensor) -> Tensor:
        rows = (labels != IGNORED).flatten().nonzero().flatten()

        def features(model: DistilBertForMaskedLM) -> Tensor:
            return vocabulary_features(model, _hidden_states(model, input_ids, False)[-1].flatten(0, 1)[rows])  # (M, D)

        teacher = self.teacher if isinstance(self.teacher, DistilBertForMaskedLM) else None
        return held_out_terms(
            features(student),
            student.vocab_projector,
            labels.flatten()[rows],
            None if teacher is None else features(teacher),
            None if teacher is None else teacher.vocab_projector,
            self.plan.chunk,
        )

    @torch.no_grad()
    def _compare_vectors(self, input_ids: Tensor, mask: Tensor | None) -> Tensor:
        """Compare the vectors of texts with the teacher's, without gradients.

        Returns:
            (4,) float64: the sum of ``cos(v_s, v_t)`` over the texts, 0 where the widths differ and no projection is
            trained, and the number of texts; the sum of ``(cos(v_s, w_s) - cos(v_t, w_t))^2`` over ordered pairs of
            different texts, and their number.
        """
        assert self.teacher is not None
        vectors, targets = (
            pool(_hidden_states(model, input_ids, False, mask)[-1], mask, self.plan.pooling)
            for model in (self.student, self.teacher)
        )
        texts = len(vectors)
        projected = self.text_projection(vectors)
        cosines = (
            torch.nn.functional.cosine_similarity(projected, targets, dim=-1).sum().item()
            if projected.shape == targets.shape
            else 0.0
        )
        errors = (similarities(vectors) - similarities(targets)).square().sum().item()
        return torch.tensor([cosines, texts, errors, texts * (texts - 1)], dtype=torch.float64)

    def _check(self) -> None:
        """Raise :class:`ConfigError` for terms that cannot be computed."""
        plan, student, teacher = self.plan, self.student.config, self.teacher
        if teacher is None:
            need_teacher = [name for name in plan.terms if name != "mlm"]
            if need_teacher:
                raise ConfigError(f"terms: {', '.join(need_teacher)} need a teacher.")
            return
        config = teacher.config
        if config.vocab_size != student.vocab_size:
            raise ConfigError(
                f"Teacher and student know different vocabularies ({config.vocab_size} and {student.vocab_size} ids); "
                "distillation compares their scores id by id."
            )
        if "cos" in plan.terms and config.dim != student.dim:
            raise ConfigError(
                f"terms: cos compares vectors of equal width; the teacher's have {config.dim} numbers, the student's "
                f"{student.dim}. Leave cos out, or use hidden (with a projection) or relation."
            )
        for student_state, teacher_state in plan.hidden_pairs if "hidden" in plan.terms else ():
            if not (0 <= student_state <= student.n_layers and 0 <= teacher_state <= config.n_layers):
                raise ConfigError(
                    f"hidden_pairs: {student_state}:{teacher_state} is no pair of states; the student has 0 to "
                    f"{student.n_layers}, the teacher 0 to {config.n_layers}."
                )
        if "relation" in plan.terms:
            if not 0 <= plan.relation_layer < config.n_layers:
                raise ConfigError(f"relation_layer must be below the teacher's {config.n_layers} layers.")
            for name, width in (("teacher", config.dim), ("student", student.dim)):
                if width % plan.relation_heads:
                    raise ConfigError(
                        f"relation_heads {plan.relation_heads} does not divide the {name}'s width {width}."
                    )


def loss_plan(config: DistillConfig, student: DistilBertConfig, teacher: DistilBertConfig) -> LossPlan:
    """Resolve every default of the settings that depends on the two models.

    Raises:
        ConfigError: ``hidden_pairs`` or ``relation_layer`` cannot be understood.
    """
    ratio = teacher.n_layers / student.n_layers
    pairs = [(index, int(index * ratio + 0.5)) for index in range(1, student.n_layers + 1)]
    if config.hidden_pairs:
        numbers = [pair.split(":") for pair in config.hidden_pairs]
        if not all(len(pair) == 2 and all(number.isdecimal() for number in pair) for pair in numbers):
            raise ConfigError(f"hidden_pairs must be pairs such as 1:2, student first; got {config.hidden_pairs!r}.")
        pairs = [(int(student_state), int(teacher_state)) for student_state, teacher_state in numbers]
    layer, layers = config.relation_layer, teacher.n_layers
    if "relation" in config.terms and not -layers <= layer < layers:
        raise ConfigError(
            f"relation_layer must be from {-layers} to {layers - 1}, as the teacher has {layers}; got {layer}."
        )
    return LossPlan(
        terms=config.terms,
        temperature=config.temperature,
        ce_tokens=config.ce_tokens,
        hidden_pairs=tuple(pairs),
        relation_layer=layer + layers if layer < 0 else layer,
        relation_heads=config.relation_heads or teacher.n_heads,
        pooling=config.pooling,
        chunk=config.chunk,
    )


def encoder_of(model: Encoder) -> DistilBertModel:
    """Return the encoder of a model, which may be the model itself."""
    return model.distilbert if isinstance(model, DistilBertForMaskedLM) else model


def _hidden_states(
    model: Encoder, input_ids: Tensor, all_layers: bool, attention_mask: Tensor | None = None
) -> HiddenStates:
    """Return all hidden states, the embeddings first, or only the last one."""
    output = encoder_of(model)(input_ids, attention_mask, output_hidden_states=all_layers, return_dict=True)
    return list(output.hidden_states) if all_layers else [output.last_hidden_state]


def vocabulary_features(model: DistilBertForMaskedLM, hidden: Tensor) -> Tensor:
    """Return the input of the model's projection to the vocabulary."""
    return model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))
