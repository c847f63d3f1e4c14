"""The files under deploy/: what they name exists, and what they do works here."""

from __future__ import annotations

import asyncio
import configparser
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml

from distilbert.cli import app
from distilbert.serving.application import all_routes
from distilbert.serving.server_metrics import FAMILIES
from distilbert.serving.server_settings import API_KEY_VARIABLE

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ROUTES = {(route.method, route.path) for route in all_routes()}
SERVE = typer.main.get_group(app).commands["serve"]
OPTIONS = {option for parameter in SERVE.params for option in parameter.opts}
MEGABYTES_OF_BASE = 54  # of gcr.io/distroless/python3-debian12, unpacked
MOST_MEGABYTES = 200


def check_arguments(words: list[str]) -> None:
    """These words behind ``distilbert`` start the server with options that it has."""
    assert words[0] == "serve"
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= OPTIONS


def test_the_dashboard_asks_for_figures_that_exist() -> None:
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text(encoding="utf-8"))
    names = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    labels = {
        family.name + ending: {*family.labels, "le"} if ending == "_bucket" else {*family.labels}
        for family in FAMILIES
        for ending in names[family.kind]
    }
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    variables = [each["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    used = set()
    for expression in [*expressions, *variables]:
        metrics = re.findall(r"\bdistilbert_\w+", expression)
        assert metrics, expression
        used.update(metrics)
        for name in metrics:
            assert name in labels, name
        for grouped in re.findall(r"by \(([\w, ]+)\)", expression):
            assert set(grouped.split(", ")) <= {label for name in metrics for label in labels[name]}, expression
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    seen = {re.sub("_(total|bucket|sum|count)$", "", name) for name in used}
    unseen = {family.name for family in FAMILIES} - seen
    assert unseen <= {"distilbert_model_loads"}, unseen  # nothing that matters is missing


def test_kubernetes() -> None:
    objects = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
    assert [each["kind"] for each in objects] == ["Deployment", "Service", "PodDisruptionBudget"]
    pod = objects[0]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    check_arguments(container["args"])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert ("GET", container[probe]["httpGet"]["path"]) in ROUTES
    assert ("GET", pod["metadata"]["annotations"]["prometheus.io/path"]) in ROUTES
    assert [variable["name"] for variable in container["env"]] == [API_KEY_VARIABLE]
    assert objects[1]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert objects[2]["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"]


def test_systemd(tmp_path: Path) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DEPLOY / "distilbert.service")
    program, *words = shlex.split(parser["Service"]["ExecStart"])
    assert program.endswith("/bin/distilbert")
    check_arguments(words)
    assert "-HUP" in parser["Service"]["ExecReload"]
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed; the rest holds")
    unit = tmp_path / "distilbert.service"
    unit.write_text((DEPLOY / "distilbert.service").read_text().replace(program, sys.executable))
    verified = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "distilbert.service" not in verified.stderr, verified.stderr


def test_the_dockerfile_names_what_there_is() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    for words in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        for source in words.split()[:-1]:
            assert (ROOT / source).exists(), source
    check_arguments(json.loads(re.findall(r"^CMD (.*)$", text, re.MULTILINE)[0]))
    health = re.search(r"HEALTHCHECK.*?CMD (\[.*\])", text)
    assert health is not None
    (path,) = re.findall(r":8080(/[\w/]+)", health[1])
    assert ("GET", path) in ROUTES
    assert re.findall(r"^USER (\w+)$", text, re.MULTILINE) == ["nonroot"]
    kept = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for words in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE) for word in words.split()[:-1]}
    assert kept == copied


@pytest.fixture(scope="module")
def handler() -> Iterator[ModuleType]:
    if importlib.util.find_spec("distilbert_mini_sst2") is None:
        pytest.skip("the package distilbert-mini-sst2 is not installed")
    spec = importlib.util.spec_from_file_location("lambda_handler", DEPLOY / "lambda_handler.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for task in module.life:
        task.cancel()
    module.loop.run_until_complete(asyncio.gather(*module.life, return_exceptions=True))
    module.loop.close()


class TestLambda:
    event: Any = json.loads((Path(__file__).parent / "api_gateway_event.json").read_text())

    def test_a_recorded_event_is_answered(self, handler: ModuleType) -> None:
        answer = handler.handler(self.event, None)
        assert answer["statusCode"] == 200
        assert answer["headers"]["content-type"] == "application/json"
        assert not answer["isBase64Encoded"]
        assert [each["label"] for each in json.loads(answer["body"])] == ["positive", "negative"]
        assert handler.handler(self.event, None)["body"] == answer["body"]

    def test_errors_and_other_routes(self, handler: ModuleType) -> None:
        wrong = {**self.event, "body": '{"text": "a"}', "isBase64Encoded": False}
        answer = handler.handler(wrong, None)
        assert answer["statusCode"] == 422
        assert "unknown field 'text'" in json.loads(answer["body"])["error"]
        http = {**self.event["requestContext"]["http"], "method": "GET"}
        page = {**self.event, "rawPath": "/", "body": None, "requestContext": {"http": http}}
        assert handler.handler(page, None)["body"].startswith("<!doctype html>")

    def test_lines(self, handler: ModuleType) -> None:
        headers = {**self.event["headers"], "content-type": "application/x-ndjson"}
        lines = {**self.event, "headers": headers, "body": '"a fine film"\n"a dull film"\n', "isBase64Encoded": False}
        answer = handler.handler(lines, None)
        assert [json.loads(line)["label"] for line in answer["body"].splitlines()] == ["positive", "negative"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_steps_of_the_image_give_a_small_server_that_answers(tmp_path: Path) -> None:
    """The folder that the Dockerfile copies, run as its last stage runs it: a user without rights, no other package."""
    server, variables = tmp_path / "server", os.environ | {"PYTHON": sys.executable, "DISTILBERT_WHEEL": ""}
    subprocess.run(["sh", "deploy/install.sh", str(server)], cwd=ROOT, env=variables, check=True, timeout=800)
    size = sum(path.lstat().st_size for path in server.rglob("*") if path.is_file()) / 1e6
    print(f"{size:.0f} MB, and {MEGABYTES_OF_BASE} MB of the base")
    assert size + MEGABYTES_OF_BASE < MOST_MEGABYTES
    for name in ("torch", "pip", "setuptools", "hf_xet"):
        assert not (server / name).exists()
    tmp_path.chmod(0o755)
    python = Path(sys.executable).resolve()
    program = [str(python), "-S", "-m", "distilbert", "serve", "--port", "0"]
    environment = {"PYTHONPATH": str(server), "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/nowhere"}
    others = (
        {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 and _others_may_run(python) else {}
    )
    with subprocess.Popen(program, cwd="/", env=environment, stderr=subprocess.PIPE, text=True, **others) as process:
        try:
            assert process.stderr is not None
            said = ""
            while not (match := re.search(r"http://[\d.]+:[1-9]\d*", said)):
                line = process.stderr.readline()
                assert line, said
                said += line
            with urllib.request.urlopen(f"{match[0]}/health/ready", timeout=10) as answer:
                assert answer.status == 200
            request = urllib.request.Request(f"{match[0]}/v1/text-classification", b'{"inputs": ["What a film!"]}')
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert json.load(answer)[0]["label"] == "positive"
        finally:
            process.terminate()
            process.communicate(timeout=70)
    assert process.returncode == 0


def _others_may_run(program: Path) -> bool:
    """Whether a user without rights reaches this Python, which may lie in somebody's home."""
    return all(folder.stat().st_mode & 0o001 for folder in (program, *program.parents))
