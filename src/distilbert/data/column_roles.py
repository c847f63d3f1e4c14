"""Which column of a table plays which role of a task: as stated, or guessed from usual names.

The roles and the usual names stand with the task: ``TaskSpec.labelled``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from ..core.errors import DataError, suggest
from ..tasks.registry import task_spec
from ..tasks.task_spec import LabelledData
from .messages import listed

JOINT = "+"  # between columns that play one role together: choices=ending0+ending1, answers=answer_text+answer_start
Roles = dict[str, tuple[str, ...]]  # the columns of each role: one, or several for choices, answers and labels
Guesses = dict[str, list[tuple[str, ...]]]  # what each role could be: columns, or columns that play it together

# Columns that play a role together; here names are compared in lower case, too.
_NUMBERED_CHOICE = re.compile(r"(ending|choice|option|answer|sol)[ _]?(\d+|[a-h])", re.IGNORECASE)
_ANSWER_TEXTS, _ANSWER_STARTS = ("answer_text", "answer"), ("answer_start", "start")


def assign_roles(
    task: str,
    columns: Sequence[str],
    name: str,
    stated: Mapping[str, str] | None = None,
    *,
    labelled: bool = True,
    unnamed: Collection[str] = (),
    repeated: Collection[str] = (),
) -> Roles:
    """Return the columns of each role; a role that no column plays is left out.

    Args:
        task: a task with labelled data.
        columns: the columns of the table.
        name: the table, for messages.
        stated: the columns of some roles; the others are guessed. Where ``text`` is stated, there is a second text
            only if ``text_pair`` is stated, too.
        labelled: a column must play the role of the label, tags or answers; otherwise it may be missing, even where
            it is stated.
        unnamed: columns without a name in the header; they are never guessed.
        repeated: names that several columns have; none of these can play a role.

    Raises:
        DataError: a role or a column does not exist, or the column of a required role cannot be told; the message
            lists the columns and says how to state one.
    """
    data = task_spec(task).labelled
    if data is None:
        raise DataError(f"There is no labelled data for {task}.")
    listing = f"Columns found: {listed(column for column in columns if column not in unnamed)}."
    roles: Roles = {}
    for role, column in (stated or {}).items():
        if role not in data.roles:
            raise DataError(
                f"{task} has no role {role!r} for a column; it has {', '.join(data.roles)}.{suggest(role, data.roles)}"
            )
        of_role = _split(data, role, column, columns)
        absent = [column for column in of_role if column not in columns]
        if absent and (labelled or role != data.target):
            near = suggest(absent[0], columns)
            raise DataError(f"{name} has no column {absent[0]!r} for the {role}.{near} {listing}")
        roles[role] = () if absent else of_role
    for role, guesses in _guess(data, [column for column in columns if column not in unnamed], roles).items():
        if len(guesses) > 1:
            options = " or ".join(_option(role, guess) for guess in guesses)
            raise DataError(f"{name}: which column is the {role}? State it: --columns {options}. {listing}")
        if role == "text" and len(guesses[0]) == 2:
            roles["text"], roles["text_pair"] = guesses[0][:1], guesses[0][1:]
        else:
            roles[role] = guesses[0]
    required = (*data.required, *([data.target] if labelled and data.target else []))
    missing = [role for role in required if role not in roles]
    if data.at_least_one_of and not any(role in roles for role in data.at_least_one_of):
        missing.append(data.at_least_one_of[-1])
    if missing:
        example = ",".join(f"{role}=COLUMN" for role in missing)
        if "label" in missing and "label" in data.joint_roles:
            example += ", or label=A+B+C where each label has a column of 0 and 1"
        raise DataError(
            f"{name}: no column is known as the {' or as the '.join(missing)}. State it: --columns {example}. "
            f"{listing} The task is {task}."
        )
    for role, of_role in roles.items():
        if ambiguous := [column for column in of_role if column in repeated]:
            raise DataError(
                f"{name}: the header has {ambiguous[0]!r} more than once, so the {role} could be any of them. "
                "Rename all but one."
            )
    return {role: roles[role] for role in data.roles if roles.get(role)}


def _option(role: str, columns: tuple[str, ...]) -> str:
    """Return the option that states a guess."""
    if role == "text" and len(columns) == 2:
        return f"text={columns[0]},text_pair={columns[1]}"
    return f"{role}={JOINT.join(columns)}"


def _split(data: LabelledData, role: str, column: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that were stated for a role: one, or several with ``JOINT`` between them."""
    return tuple(column.split(JOINT)) if role in data.joint_roles and column not in columns else (column,)


def _guess(data: LabelledData, columns: Sequence[str], roles: Roles) -> Guesses:
    """Return what the roles that are not stated could be; roles that nothing fits are left out."""
    free = [column for column in columns if not any(column in taken for taken in roles.values())]
    guesses: Guesses = {}
    for column in data.columns:
        if column.role in roles:
            continue
        if column.role == "text":
            texts = _guess_texts(data, free, with_pairs="text_pair" not in roles)
        else:
            texts = [(name,) for name in _first_group(free, column.known_names)]
        if texts:
            guesses[column.role] = texts
    for role, together in (("choices", _numbered_choices(free)), ("answers", _answer_columns(free))):
        if together and role in data.roles and role not in roles and role not in guesses:
            guesses[role] = [together]
    return guesses


def _guess_texts(data: LabelledData, free: Sequence[str], with_pairs: bool) -> list[tuple[str, ...]]:
    """Return the columns, and pairs of columns, that could be the text."""
    pairs: list[tuple[str, ...]] = []
    if with_pairs:
        pairs = [(a, b) for names in data.text_pairs for a in _named(free, names[0]) for b in _named(free, names[1])]
    paired = {column for pair in pairs for column in pair}
    known = {name for column in data.columns if column.role == "text" for group in column.known_names for name in group}
    singles = [(column,) for column in free if column.lower() in known and column not in paired]
    if not pairs and not singles and len(free) == 1:
        singles = [(free[0],)]
    return [*pairs, *singles]


def _first_group(free: Sequence[str], groups: Iterable[Iterable[str]]) -> list[str]:
    """Return the columns with a name of the first group of which there are some."""
    return next((columns for names in groups if (columns := [name for name in free if name.lower() in names])), [])


def _named(free: Sequence[str], name: str) -> list[str]:
    return [column for column in free if column.lower() == name]


def _numbered_choices(free: Sequence[str]) -> tuple[str, ...]:
    """Return columns of choices with numbers or letters, such as ``ending0`` to ``ending3``, in order."""
    by_stem: dict[str, list[tuple[str, str]]] = {}
    for column in free:
        if match := _NUMBERED_CHOICE.fullmatch(column):
            by_stem.setdefault(match[1].lower(), []).append((match[2].lower().rjust(4), column))
    series = [sorted(columns) for columns in by_stem.values() if len(columns) > 1]
    return tuple(column for _, column in series[0]) if len(series) == 1 else ()


def _answer_columns(free: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of an answer's text and of its first character."""
    texts = [column for name in _ANSWER_TEXTS for column in _named(free, name)]
    starts = [column for name in _ANSWER_STARTS for column in _named(free, name)]
    return (texts[0], starts[0]) if texts and starts else ()
