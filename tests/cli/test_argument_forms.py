"""Several files behind one option, the two spellings of --column, and files of settings."""

from __future__ import annotations

import pytest

from distilbert.cli.argument_forms import in_one_form

from .helpers import Command

OPTIONS = ("--train-data", "--eval-data", "--data", "--columns", "--output")
FILES = ("--train-data", "--eval-data", "--data")


@pytest.mark.parametrize(
    ("given", "argument", "expected"),
    [
        ("--train-data a b --eval-data c d", "", "--train-data a --train-data b --eval-data c --eval-data d"),
        ("--train-data=a b --output x y", "", "--train-data=a --train-data b --output x y"),
        ("m --data a b", "model", "m --data a --data b"),
        ("--data a m", "model", "--data a m"),
        ("--column text=t --output -", "", "--columns text=t --output -"),
        ("--column=text=t", "", "--columns=text=t"),
        ("--data a -- b", "", "--data a -- b"),
        ("", "model", ""),
    ],
)
def test_arguments_are_brought_into_one_form(given: str, argument: str, expected: str) -> None:
    assert in_one_form(given.split(), OPTIONS, FILES, argument) == expected.split()


def test_every_option_of_files_takes_several(cli: Command) -> None:
    cli.write("a.csv", "text,label\nx,1\n")
    arguments = "--task text-classification --model m --output o --train-data a.csv b.csv --eval-data c.csv d.csv"
    done = cli("finetune", *arguments.split())
    assert "b.csv" in done.err, "it looks for the second file"
    assert "extra argument" not in done.err


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ("run --task fill-mask --input a.csv --input b.csv", "--input"),
        ("export m --calibration a.csv --to onnx --calibration b.csv --output o", "--calibration"),
        ("quantize m --metric-data a.csv --metric-data=b.csv --output o", "--metric-data"),
    ],
)
def test_an_option_that_reads_one_file_is_not_given_twice(cli: Command, arguments: str, option: str) -> None:
    done = cli(*arguments.split())
    assert (done.code, done.err) == (2, f"distilbert: {option} is given more than once, but takes one file.\n")


def test_a_value_may_look_like_an_option_that_stands_there_already(cli: Command) -> None:
    assert "more than once" not in cli("info", "--model", "--model").err


def test_the_help_to_read_is_that_of_the_command(cli: Command) -> None:
    assert cli("run", "--model").err.endswith("Try 'distilbert run --help'.\n")


def test_column_and_columns_are_one_option(cli: Command) -> None:
    cli.write("in.csv", "a,b\none,two\n")
    assert cli.run("--task", "text-classification", "--input", "in.csv", "--columns", "b").code == 0
    assert cli.task.windows == [["two"]]
    done = cli("evaluate", "--column", "text")
    assert "--columns 'text': pairs such as text=review,label=stars are expected." in done.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('modle = "m"', "x.toml got an unknown argument 'modle'. Did you mean 'model'?"),
        ('model = "m"\nepochs = "3"', "x.toml: 'epochs' must be of type float; got '3'."),
        ('model = "m"\npooling = "x"', "x.toml: 'pooling' must be one of auto, cls, mean; got 'x'."),
    ],
)
def test_a_file_of_settings_is_named_with_its_key(cli: Command, content: str, message: str) -> None:
    required = 'task = "text-classification"\noutput = "o"\ntrain_data = "a"\n' if "model" in content else ""
    cli.write("x.toml", required + content)
    done = cli("finetune", "--config", "x.toml")
    assert (done.code, done.err) == (2, f"distilbert: {message}\n")


def test_the_empty_choice_is_called_auto(cli: Command) -> None:
    required = ["--task", "text-classification", "--model", "m", "--output", "o", "--train-data", "a.csv"]
    assert "--pooling must be one of auto, cls, mean; got 'x'." in cli("finetune", *required, "--pooling", "x").err
    assert "pooling" not in cli("finetune", *required, "--pooling", "auto").err
    help_text = cli("finetune", "--help").out
    assert "auto|cls|mean" in help_text
    assert " |" not in help_text


@pytest.mark.parametrize("option", ["--epochs 0", "--batch-tokens x", "--encoding utf-99"])
def test_a_wrong_value_of_an_option_is_wrong_usage(cli: Command, option: str) -> None:
    cli.write("a.csv", "text,label\nx,1\n")
    required = ["--task", "text-classification", "--model", "m", "--output", "o", "--train-data", "a.csv"]
    done = cli("finetune", *required, *option.split())
    assert done.code == 2
    assert option.split()[0] in done.err
