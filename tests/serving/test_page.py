"""The page as bytes: it needs nothing but itself, and its policy allows nothing but its own script and style.

What it does in a browser is tested in tests/page.
"""

from __future__ import annotations

import base64
import hashlib
import re

from distilbert.serving.page import PAGE, PAGE_HEADERS

TEXT = PAGE.decode()


def test_it_names_no_other_host() -> None:
    names = set(re.findall(r"https?://[^\s'\"`)]+", TEXT))
    assert names == {"http://www.w3.org/2000/svg"}  # a namespace, which nothing fetches
    for tag in ("<link", "<script", "<img", "<iframe"):
        for attributes in re.findall(rf"{tag}\b([^>]*)>", TEXT):
            assert not re.search(r"(src|href)=\"(?!data:)", attributes), attributes


def test_the_policy_allows_its_own_script_and_style_only() -> None:
    policy = dict(entry.split(" ", 1) for entry in PAGE_HEADERS["content-security-policy"].split("; "))
    for directive, pattern in (("script-src", r"<script[^>]*>(.*?)</script>"), ("style-src", r"<style>(.*?)</style>")):
        sources = re.findall(pattern, TEXT, re.DOTALL)
        assert len(sources) == 1, directive
        digest = base64.b64encode(hashlib.sha256(sources[0].encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert not re.search(r"\sstyle=\"|\son\w+=\"", TEXT)  # such attributes would be refused
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", TEXT)
