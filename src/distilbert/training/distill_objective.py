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
from ..models.pytorch import DistilBertForMaskedLM
from ..models.pytorch.runner import prepack
from .corpus.masking import IGNORED
from .distill_config import DistillConfig
from .loss_terms import (
    VocabularyTerms,
    cosine_term,
    held_out_terms,
    hidden_term,
    relation_term,
    vocabulary_terms,
)

HiddenStates = list[Tensor]  # (B, S, D) each


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
        chunk: tokens whose scores over the vocabulary are in memory at once.
    """

    terms: Mapping[str, float] = field(default_factory=lambda: {"mlm": 1.0})
    temperature: float = 1.0
    ce_tokens: str = "all"
    hidden_pairs: tuple[tuple[int, int], ...] = ()
    relation_layer: int = -1
    relation_heads: int = 1
    chunk: int = 256


class DistillObjective(nn.Module):
    """Loss of a student.

    Args:
        student: the model to train.
        plan: the terms of the loss.
        teacher: the model to imitate; this module does not train, move or save it. None for the mlm term alone.

    Raises:
        ConfigError: a term needs a teacher, equal widths, or layers that do not exist.
    """

    def __init__(
        self, student: DistilBertForMaskedLM, plan: LossPlan, teacher: DistilBertForMaskedLM | None = None
    ) -> None:
        super().__init__()
        self.student = student
        self.plan = plan
        self._teacher: tuple[DistilBertForMaskedLM | None] = (teacher,)  # a tuple hides it from nn.Module
        self.projections = nn.ModuleList()
        self._check()
        if "hidden" in plan.terms and teacher is not None and teacher.config.dim != student.config.dim:
            self.projections.extend(
                nn.Linear(student.config.dim, teacher.config.dim, bias=False, device=student.device)
                for _ in plan.hidden_pairs
            )

    @property
    def teacher(self) -> DistilBertForMaskedLM | None:
        """The teacher."""
        return self._teacher[0]

    def place_teacher(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the teacher to ``device`` and ``dtype``, with its weights laid out for the kernels of that device."""
        if self.teacher is not None:
            self._teacher = (cast(DistilBertForMaskedLM, prepack(self.teacher.to(device, dtype))),)

    def forward(
        self, input_ids: Tensor, labels: Tensor, counts: Mapping[str, float] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a micro-batch, or the sums of an evaluation.

        Args:
            input_ids: (B, S) ids with the selected tokens masked.
            labels: (B, S) original ids of the selected tokens, -100 elsewhere.
            counts: ``"tokens"`` and ``"masked"`` of the whole step; None for an evaluation.

        Returns:
            The weighted sum of the terms, and each term without its weight: this micro-batch's contributions to the
            means over the step. For an evaluation the (4,) sums of :func:`.loss_terms.held_out_terms` and {}.
        """
        if counts is None:
            return self._evaluate(input_ids, labels), {}
        plan = self.plan
        all_layers = "hidden" in plan.terms or "relation" in plan.terms
        teacher_states: HiddenStates = []
        if self.teacher is not None:
            with torch.no_grad():
                teacher_states = _hidden_states(self.teacher, input_ids, all_layers)
        states = _hidden_states(self.student, input_ids, all_layers)
        values: dict[str, Tensor] = {}
        loss = input_ids.new_zeros((), dtype=torch.float32)
        if {"ce", "mlm", "mse"} & set(plan.terms):
            loss, values = self._vocabulary(states[-1], teacher_states[-1] if teacher_states else None, labels, counts)
        tokens = counts["tokens"]
        if "cos" in plan.terms:
            values["cos"] = cosine_term(states[-1], teacher_states[-1], tokens)
        if "hidden" in plan.terms:
            terms = []
            for number, (student_state, teacher_state) in enumerate(plan.hidden_pairs):
                state = states[student_state]
                projected = self.projections[number](state) if len(self.projections) else state
                terms.append(hidden_term(projected, teacher_states[teacher_state], tokens))
            values["hidden"] = torch.stack(terms).mean()
        if "relation" in plan.terms:
            values["relation"] = self._relation(states, teacher_states, tokens)
        for name in ("cos", "hidden", "relation"):
            if name in values:
                loss = loss + plan.terms[name] * values[name]
        return loss, {name: values[name].detach() for name in plan.terms}

    def _vocabulary(
        self, hidden: Tensor, teacher_hidden: Tensor | None, labels: Tensor, counts: Mapping[str, float]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the terms over the vocabulary from last hidden states (B, S, D)."""
        plan, labels = self.plan, labels.flatten()
        hidden = hidden.flatten(0, 1)  # (B * S, D)
        reads_all_tokens = plan.ce_tokens == "all" and bool({"ce", "mse"} & set(plan.terms))
        if not reads_all_tokens:
            rows = (labels != IGNORED).nonzero().flatten()
            hidden, labels = hidden[rows], labels[rows]  # (M, D), (M,)
            teacher_hidden = None if teacher_hidden is None else teacher_hidden.flatten(0, 1)[rows]
        teacher = self.teacher if {"ce", "mse"} & set(plan.terms) else None
        teacher_features = None
        if teacher is not None and teacher_hidden is not None:
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
            None if teacher is None else teacher.vocab_projector,
        )

    def _relation(self, states: HiddenStates, teacher_states: HiddenStates, tokens: float) -> Tensor:
        """Sum of the relations between queries, between keys and between values."""
        assert self.teacher is not None
        attention = self.student.distilbert.transformer.layer[-1].attention
        teacher_attention = self.teacher.distilbert.transformer.layer[self.plan.relation_layer].attention
        source, teacher_source = states[-2], teacher_states[self.plan.relation_layer]  # input of these blocks
        total = source.new_zeros(())
        for name in ("q_lin", "k_lin", "v_lin"):
            with torch.no_grad():
                target = getattr(teacher_attention, name)(teacher_source)
            total = total + relation_term(getattr(attention, name)(source), target, self.plan.relation_heads, tokens)
        return total

    @torch.no_grad()
    def _evaluate(self, input_ids: Tensor, labels: Tensor) -> Tensor:
        rows = (labels != IGNORED).flatten().nonzero().flatten()

        def features(model: DistilBertForMaskedLM) -> Tensor:
            return vocabulary_features(model, _hidden_states(model, input_ids, False)[-1].flatten(0, 1)[rows])  # (M, D)

        teacher = self.teacher
        return held_out_terms(
            features(self.student),
            self.student.vocab_projector,
            labels.flatten()[rows],
            None if teacher is None else features(teacher),
            None if teacher is None else teacher.vocab_projector,
            self.plan.chunk,
        )

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
        chunk=config.chunk,
    )


def _hidden_states(model: DistilBertForMaskedLM, input_ids: Tensor, all_layers: bool) -> HiddenStates:
    """Return all hidden states, the embeddings first, or only the last one."""
    output = model.distilbert(input_ids, output_hidden_states=all_layers, return_dict=True)
    return list(output.hidden_states) if all_layers else [output.last_hidden_state]


def vocabulary_features(model: DistilBertForMaskedLM, hidden: Tensor) -> Tensor:
    """Return the input of the model's projection to the vocabulary."""
    return model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))
