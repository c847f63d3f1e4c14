"""Chat templates: rendering messages, masks of what the assistant wrote, files, and templates that are wrong."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilbert.core.errors import InputError, TokenizerError

from .helpers import CLASSES, SMALL_VOCAB

CHAT = [
    {"role": "system", "content": "the cafe"},
    {"role": "user", "content": "is the dog in?"},
    {"role": "assistant", "content": "the dog is not in "},
]
SHORT = [{"role": "user", "content": "do play"}]
# Each message in brackets, with its role before it; the assistant's are marked.
TEMPLATE = """{%- for message in messages %}
    {%- if message.role == "assistant" %}
        {{- "assistant" }}{% generation %}{{ "[" + message.content + "]" }}{% endgeneration %}
    {%- else %}
        {{- message.role + "[" + message.content + "]" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ "assistant[" }}{% endif %}"""
TEXT = "system[the cafe]user[is the dog in?]assistant[the dog is not in ]"


@pytest.fixture(params=CLASSES)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.param(vocab=SMALL_VOCAB, chat_template=TEMPLATE)


def test_messages_become_a_text(tokenizer: Any) -> None:
    assert tokenizer.apply_chat_template(CHAT, tokenize=False) == TEXT
    assert tokenizer.apply_chat_template([CHAT, SHORT], tokenize=False) == [TEXT, "user[do play]"]
    assert tokenizer.apply_chat_template([SHORT], tokenize=False) == ["user[do play]"]
    asking = tokenizer.apply_chat_template(SHORT, tokenize=False, add_generation_prompt=True)
    assert asking == "user[do play]assistant["


def test_the_text_becomes_ids_without_further_special_tokens(tokenizer: Any) -> None:
    expected = tokenizer(TEXT, add_special_tokens=False)
    assert dict(tokenizer.apply_chat_template(CHAT)) == dict(expected)
    assert tokenizer.apply_chat_template(CHAT, return_dict=False) == expected.input_ids
    arrays = tokenizer.apply_chat_template([CHAT, SHORT], padding=True, return_tensors="np")
    assert arrays.input_ids.shape == (2, len(expected.input_ids))
    assert tokenizer.apply_chat_template(CHAT, return_tensors="np").input_ids.shape == (1, len(expected.input_ids))
    cut = tokenizer.apply_chat_template(CHAT, truncation=True, max_length=5, return_dict=False)
    assert cut == expected.input_ids[:5]
    typed = tokenizer.apply_chat_template(SHORT, tokenizer_kwargs={"return_token_type_ids": True})
    assert set(typed.token_type_ids) == {0}


def test_a_mask_marks_what_the_assistant_wrote(tokenizer: Any) -> None:
    batch = tokenizer.apply_chat_template(CHAT, return_assistant_tokens_mask=True)
    marked = [i for i, mask in zip(batch.input_ids, batch.assistant_masks, strict=True) if mask]
    assert marked == tokenizer("[the dog is not in ]", add_special_tokens=False).input_ids
    both = tokenizer.apply_chat_template(
        [CHAT, SHORT], padding=True, return_tensors="np", return_assistant_tokens_mask=True
    )
    assert both.assistant_masks.shape == both.input_ids.shape
    assert np.array_equal(both.assistant_masks.sum(1), [len(marked), 0])
    cut = tokenizer.apply_chat_template(
        CHAT, truncation=True, max_length=len(batch.input_ids) - 3, return_assistant_tokens_mask=True
    )
    assert cut.assistant_masks == batch.assistant_masks[:-3]
    left = tokenizer.apply_chat_template(
        CHAT, return_assistant_tokens_mask=True, padding="max_length", max_length=len(batch.input_ids) + 2,
        tokenizer_kwargs={"padding_side": "left"},
    )  # fmt: skip
    assert left.assistant_masks == [0, 0, *batch.assistant_masks]


def test_a_mask_without_a_marked_block_is_zero_and_says_so(tokenizer: Any, caplog: pytest.LogCaptureFixture) -> None:
    batch = tokenizer.apply_chat_template(
        SHORT, chat_template="{{ messages[0].content }}", return_assistant_tokens_mask=True
    )
    assert batch.assistant_masks == [0, 0]
    assert "no {% generation %}" in caplog.text


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{% for m in messages %}<{{ m.content }}>{% endfor %}", "<is it in><it is in : "),
        ("{% for m in messages %}<{{ m.content | trim }}>{% endfor %}", "<is it in><it is in :"),
        (
            "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
            "user: is it in\nassistant: it is in : ",
        ),
    ],
)
def test_the_last_message_can_go_on(tokenizer: Any, template: str, expected: str) -> None:
    chat = [{"role": "user", "content": "is it in"}, {"role": "assistant", "content": "it is in : "}]
    options = {"chat_template": template, "tokenize": False, "continue_final_message": True}
    assert tokenizer.apply_chat_template(chat, **options) == expected
    assert chat[1]["content"] == "it is in : "  # the caller's messages stay as they are


def test_a_message_of_blocks_goes_on_after_its_last_text(tokenizer: Any) -> None:
    chat = [
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "x"}]}
    ]
    template = "{% for block in messages[0].content %}<{{ block.text }}>{% endfor %}"
    text = tokenizer.apply_chat_template(chat, chat_template=template, tokenize=False, continue_final_message=True)
    assert text == "<a><b"
    assert chat[0]["content"][1] == {"type": "text", "text": "b"}


def test_templates_have_names(tokenizer: Any) -> None:
    tokenizer.chat_template = {"default": "a", "tool_use": "b {{ tools[0].name }}", "third": "c"}
    options: dict[str, Any] = {"tokenize": False}
    assert tokenizer.apply_chat_template(SHORT, **options) == "a"
    assert tokenizer.apply_chat_template(SHORT, tools=[{"name": "play"}], **options) == "b play"
    assert tokenizer.apply_chat_template(SHORT, chat_template="third", **options) == "c"
    assert tokenizer.apply_chat_template(SHORT, chat_template="{{ 1 + 1 }}", **options) == "2"
    assert tokenizer.get_chat_template("third") == "c"
    tokenizer.chat_template = {"first": "a", "second": "b"}
    with pytest.raises(InputError, match=r"none is called 'default': pass chat_template= one of first, second"):
        tokenizer.apply_chat_template(SHORT, **options)


def test_templates_read_variables_and_functions(tokenizer: Any) -> None:
    def render(template: str, **variables: Any) -> Any:
        return tokenizer.apply_chat_template(SHORT, chat_template=template, tokenize=False, **variables)

    assert render("{{ cls_token }}{{ sep_token }}{{ bos_token }}") == "[CLS][SEP]"
    assert render("{{ cls_token }} {{ mood }}", cls_token="x", mood="y") == "x y"
    assert render("{{ documents[0] | tojson }}", documents=[{"a": "<é>"}]) == '{"a": "<é>"}'
    assert render("{{ messages | tojson(indent=1) }}") == json.dumps(SHORT, indent=1)
    assert render("{{ strftime_now('%Y') }}") in {str(datetime.datetime.now().year + shift) for shift in (-1, 0, 1)}
    assert render("{% for x in [1, 2, 3] %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}") == "1"
    assert render("{% generation %}\n {{ 1 }}\n{% endgeneration %}") == " 1\n"


@pytest.mark.parametrize("templates", [TEMPLATE, {"default": "{{ 1 }}", "further-one": "b\n"}])
def test_templates_are_saved_and_loaded(tokenizer: Any, tmp_path: Path, templates: Any) -> None:
    tokenizer.chat_template = templates
    paths = tokenizer.save_pretrained(tmp_path / "files")
    assert str(tmp_path / "files" / "chat_template.jinja") in paths
    assert "chat_template" not in json.loads((tmp_path / "files" / "tokenizer_config.json").read_text())
    assert all(Path(path).is_file() for path in paths)
    tokenizer.save_pretrained(tmp_path / "config", save_jinja_files=False)
    assert not (tmp_path / "config" / "chat_template.jinja").exists()
    for folder in ("files", "config"):
        again = type(tokenizer).from_pretrained(tmp_path / folder)
        assert again.chat_template == templates
        assert again.spec == tokenizer.spec


def test_files_win_over_the_config_and_do_not_outlive_their_template(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path, save_jinja_files=False)
    (tmp_path / "chat_template.jinja").write_text("from the file")
    again = type(tokenizer).from_pretrained(tmp_path)
    assert again.chat_template == "from the file"
    again.chat_template = {"default": "a", "b": "c"}
    again.save_pretrained(tmp_path)
    assert type(tokenizer).from_pretrained(tmp_path).chat_template == {"default": "a", "b": "c"}
    again.chat_template = None
    again.save_pretrained(tmp_path)
    assert type(tokenizer).from_pretrained(tmp_path).chat_template is None


@pytest.mark.parametrize("name", ["../outside", "a/b", "a\\b", "", "..", "c:x", "a\nb", "x" * 101])
def test_names_that_lead_out_of_the_folder_are_refused(tokenizer: Any, tmp_path: Path, name: str) -> None:
    with pytest.raises(TokenizerError, match="needs a name that can be that of a file"):
        tokenizer.chat_template = {name: "a"}
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["chat_template"] = [{"name": name, "template": "a"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(TokenizerError, match="needs a name that can be that of a file"):
        type(tokenizer).from_pretrained(tmp_path)


@pytest.mark.parametrize("value", [5, ["a"], {"a": 1}, [{"name": "a"}]])
def test_what_is_no_template_is_refused(tokenizer: Any, value: Any) -> None:
    with pytest.raises(TokenizerError, match="chat_template must be a text or a dict of texts"):
        tokenizer.chat_template = value


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for %}", "cannot be used: "),
        ("{{ ''.__class__.__mro__ }}", "cannot be used: access to attribute '__class__'"),
        ("{{ messages.append(1) }}", "cannot be used: "),
        ("{{ raise_exception('Roles must alternate') }}", "cannot be used: Roles must alternate"),
        ("{{ 'a' + 1 }}", "fails: TypeError"),
        ("{% for i in range(10**9) %}{% endfor %}", "Range too big"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "maximum recursion depth"),
    ],
)
def test_a_wrong_template_is_one_sentence(tokenizer: Any, template: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tokenizer.apply_chat_template(SHORT, chat_template=template)


def test_options_that_exclude_each_other(tokenizer: Any) -> None:
    for options, message in (
        ({"continue_final_message": True, "add_generation_prompt": True}, "exclude each other"),
        ({"continue_final_message": True, "return_assistant_tokens_mask": True}, "exclude each other"),
        ({"return_assistant_tokens_mask": True, "return_dict": False}, "needs return_dict=True"),
        ({"return_assistant_tokens_mask": True, "tokenize": False}, "tokenize=True"),
        ({"continue_final_message": True, "chat_template": "x"}, "leaves out the content"),
        ({"tools": [print]}, r"tools\[0\] must be a dict with a JSON schema"),
        ({"documents": ["a"]}, r"documents\[0\] must be a dict, but"),
    ):
        with pytest.raises(InputError, match=message):
            tokenizer.apply_chat_template(CHAT, **options)
    with pytest.raises(InputError, match="needs a text as content"):
        tokenizer.apply_chat_template([{"role": "a", "content": None}], chat_template="x", continue_final_message=True)
    tokenizer.chat_template = None
    with pytest.raises(InputError, match=r"no chat template\. Set tokenizer\.chat_template"):
        tokenizer.apply_chat_template(CHAT)


@pytest.mark.parametrize("conversation", [None, "a", [], ["a"], [[]], [SHORT, "a"], {"role": "user"}])
def test_what_is_no_conversation_is_refused(tokenizer: Any, conversation: Any) -> None:
    with pytest.raises(InputError, match="must be a list of messages such as"):
        tokenizer.apply_chat_template(conversation)
