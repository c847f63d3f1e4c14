"""Other forms of arguments, brought into the one that Typer reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence

OTHER_SPELLINGS = {"--column": "--columns", "--columns": "--column"}


def in_one_form(
    arguments: Sequence[str], options: Collection[str], file_options: Collection[str] = (), argument: str = ""
) -> list[str]:
    """Return arguments with ``--data a b`` as ``--data a --data b``, and ``--columns`` as the command spells it.

    Args:
        arguments: those behind the name of the command.
        options: of the command.
        file_options: options that take several files.
        argument: the argument that the command takes without the name of an option. Where it has one and that does not
            stand first, only Typer can tell it from a file.
    """
    result: list[str] = []
    repeated = ""  # the option that goes in front of another file
    may_repeat = not argument or not "".join(arguments[:1]).startswith("-")
    for each in arguments:
        name, equals, value = each.partition("=")
        if each.startswith("-") and each != "-":
            if name not in options and OTHER_SPELLINGS.get(name) in options:
                name = OTHER_SPELLINGS[name]
                each = f"{name}{equals}{value}"
            repeated, has_file = name if may_repeat and name in file_options else "", bool(equals)
        elif repeated and has_file:
            result.append(repeated)
        else:
            has_file = True
        result.append(each)
    return result
