"""The objective: a student, a teacher, and a list of weighted terms, as one module that turns a batch into a loss.

Everything that touches weights happens inside ``forward``, which is what data-parallel wrappers need.

Legend: B batch, S sequence, M tokens that count, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError
from ..models.pytorch import DistilBertForMaskedLM
from ..models.pytorch.runner import prepack
from .corpus.masking import IGNORED
from .hidden_state_terms import cosine_term, hidden_term, relation_term
from .vocabulary_terms import VocabularyTerms, held_out_terms, vocabulary_terms

Layers = list[Tensor]


@dataclass(frozen=True)
class Plan:
    """Which terms make up the loss; see ``DistillConfig`` for what each field means.

    Attributes:
        terms: weight by name of the term.
        temperature: of ce.
        ce_tokens: ``"all"`` or ``"masked"``.
        hidden_pairs: (state of the student, state of the teacher), the embeddings are 0.
        relation_layer: block of the teacher, counted from 0.
        relation_heads: number of relation heads.
        chunk: tokens whose scores over the vocabulary are held at once.
    """

    terms: Mapping[str, float] = field(default_factory=lambda: {"mlm": 1.0})
    temperature: float = 1.0
    ce_tokens: str = "all"
    hidden_pairs: tuple[tuple[int, int], ...] = ()
    relation_layer: int = -1
    relation_heads: int = 1
    chunk: int = 256


class Objective(nn.Module):
    """Loss of a student.

    Args:
        student: what is trained.
        plan: the terms.
        teacher: what is learned from; never trained, moved or saved by this module. None for the mlm term alone.

    Raises:
        ConfigError: a term needs a teacher, or equal widths, or layers that are not there.
    """

    def __init__(
        self, student: DistilBertForMaskedLM, plan: Plan, teacher: DistilBertForMaskedLM | None = None
    ) -> None:
        super().__init__()
        self.student = student
        self.plan = plan
        self._teacher: tuple[DistilBertForMaskedLM | None] = (teacher,)  # in a tuple it is no submodule
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

    def place_teacher(self, device: torch.device, low: bool) -> None:
        """Move the teacher to ``device``, in bf16 if ``low``, its weights laid out for the kernels there."""
        teacher = self.teacher
        if teacher is not None:
            placed = teacher.to(device, torch.bfloat16 if low else torch.float32)
            self._teacher = (cast(DistilBertForMaskedLM, prepack(placed)),)

    def forward(
        self, input_ids: Tensor, labels: Tensor, counts: Mapping[str, float] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss, or what an evaluation sums.

        Args:
            input_ids: (B, S) ids with the selected tokens masked.
            labels: (B, S) what stood there; -100 where nothing was selected.
            counts: ``"tokens"`` and ``"masked"`` of the whole step; None for an evaluation.

        Returns:
            The weighted sum of the terms and each term without its weight, both as parts of the step's means; for an
            evaluation the (4,) sums of :func:`.vocabulary_terms.held_out_terms` and nothing.
        """
        if counts is None:
            return self._evaluate(input_ids, labels), {}
        plan = self.plan
        layers = "hidden" in plan.terms or "relation" in plan.terms
        teacher = self.teacher
        wise: Layers = []
        if teacher is not None:
            with torch.no_grad():
                wise = _states(teacher, input_ids, layers)
        states = _states(self.student, input_ids, layers)
        values: dict[str, Tensor] = {}
        loss = input_ids.new_zeros((), dtype=torch.float32)
        if {"ce", "mlm", "mse"} & set(plan.terms):
            loss, values = self._vocabulary(states[-1], wise[-1] if wise else None, labels, counts)
        tokens = counts["tokens"]
        if "cos" in plan.terms:
            values["cos"] = cosine_term(states[-1], wise[-1], tokens)
        if "hidden" in plan.terms:
            parts = []
            for number, (mine, theirs) in enumerate(plan.hidden_pairs):
                state = self.projections[number](states[mine]) if len(self.projections) else states[mine]
                parts.append(hidden_term(state, wise[theirs], tokens))
            values["hidden"] = torch.stack(parts).mean()
        if "relation" in plan.terms:
            values["relation"] = self._relation(states, wise, tokens)
        for name in ("cos", "hidden", "relation"):
            if name in values:
                loss = loss + plan.terms[name] * values[name]
        return loss, {name: values[name].detach() for name in plan.terms}

    def _vocabulary(
        self, hidden: Tensor, wise: Tensor | None, labels: Tensor, counts: Mapping[str, float]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        plan, labels = self.plan, labels.flatten()
        hidden = hidden.flatten(0, 1)  # (B * S, D)
        everywhere = plan.ce_tokens == "all" and bool({"ce", "mse"} & set(plan.terms))
        if not everywhere:
            rows = (labels != IGNORED).nonzero().flatten()
            hidden, labels = hidden[rows], labels[rows]  # (M, D)
            wise = None if wise is None else wise.flatten(0, 1)[rows]
        teacher = self.teacher if {"ce", "mse"} & set(plan.terms) else None
        with torch.no_grad():
            scored = (
                None
                if teacher is None or wise is None
                else vocabulary_features(teacher, wise.reshape(-1, wise.shape[-1]))
            )
        weights = {name: plan.terms.get(name, 0.0) for name in ("ce", "mlm", "mse")}
        return vocabulary_terms(
            vocabulary_features(self.student, hidden),
            self.student.vocab_projector.weight,
            self.student.vocab_projector.bias,
            labels,
            VocabularyTerms(
                **weights,
                temperature=plan.temperature,
                tokens=counts["tokens" if everywhere else "masked"],
                masked=counts["masked"],
                chunk=plan.chunk,
            ),
            scored,
            None if teacher is None else teacher.vocab_projector,
        )

    def _relation(self, states: Layers, wise: Layers, tokens: float) -> Tensor:
        """Sum of the relations between queries, between keys and between values."""
        assert self.teacher is not None
        mine = self.student.distilbert.transformer.layer[-1].attention
        theirs = self.teacher.distilbert.transformer.layer[self.plan.relation_layer].attention
        source, wanted = states[-2], wise[self.plan.relation_layer]  # what the blocks read
        total = source.new_zeros(())
        for name in ("q_lin", "k_lin", "v_lin"):
            with torch.no_grad():
                target = getattr(theirs, name)(wanted)
            total = total + relation_term(getattr(mine, name)(source), target, self.plan.relation_heads, tokens)
        return total

    @torch.no_grad()
    def _evaluate(self, input_ids: Tensor, labels: Tensor) -> Tensor:
        rows = (labels != IGNORED).flatten().nonzero().flatten()

        def features(model: DistilBertForMaskedLM) -> Tensor:
            return vocabulary_features(model, _states(model, input_ids, False)[-1].flatten(0, 1)[rows])  # (M, D)

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
        """Refuse terms that cannot be computed, before any time is spent."""
        plan, student, teacher = self.plan, self.student.config, self.teacher
        needy = [name for name in plan.terms if name != "mlm"]
        if teacher is None:
            if needy:
                raise ConfigError(f"terms: {', '.join(needy)} need a teacher.")
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
        for mine, theirs in plan.hidden_pairs if "hidden" in plan.terms else ():
            if not (0 <= mine <= student.n_layers and 0 <= theirs <= config.n_layers):
                raise ConfigError(
                    f"hidden_pairs: {mine}:{theirs} is no pair of states; the student has 0 to {student.n_layers}, "
                    f"the teacher 0 to {config.n_layers}."
                )
        if "relation" in plan.terms:
            if not 0 <= plan.relation_layer < config.n_layers:
                raise ConfigError(f"relation_layer must be below the teacher's {config.n_layers} layers.")
            for name, width in (("teacher", config.dim), ("student", student.dim)):
                if width % plan.relation_heads:
                    raise ConfigError(
                        f"relation_heads {plan.relation_heads} does not divide the {name}'s width {width}."
                    )


def _states(model: DistilBertForMaskedLM, input_ids: Tensor, layers: bool) -> Layers:
    """Return hidden states (B, S, D): all of them, the embeddings first, or the last alone."""
    output = model.distilbert(input_ids, output_hidden_states=layers, return_dict=True)
    return list(output.hidden_states) if layers else [output.last_hidden_state]


def vocabulary_features(model: DistilBertForMaskedLM, hidden: Tensor) -> Tensor:
    """Return what the model's projection to the vocabulary reads."""
    return model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))
