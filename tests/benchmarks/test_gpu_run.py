"""The GPU run itself, with stages of its own: time limits, failures, files that come back, the result file."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import checks, files, pieces
from benchmarks.gpu.setting import Setting, StageFailed
from benchmarks.gpu.stages import STAGES, Stage

HERE = "tests.benchmarks.test_gpu_run"


# Parts: functions that the processes of a run import from here.


def measure(setting: Setting) -> dict[str, Any]:
    print("measuring")
    return {"device": setting.device, "tiny": setting.tiny, "sentences": len(setting.sentences())}


def crash(setting: Setting) -> dict[str, Any]:
    raise ValueError("the kernel gave nonsense")


def find_fault(setting: Setting) -> dict[str, Any]:
    raise StageFailed({"tests_failed": {"one": "because"}})


def hang(setting: Setting, path: str) -> dict[str, Any]:
    """Start a child that hangs, and hang."""
    child = os.fork()
    if child:
        Path(path).write_text(str(child), encoding="utf-8")
    time.sleep(600)
    return {}


def bring_back(setting: Setting, size: str) -> dict[str, Any]:
    (setting.output / "student.safetensors").write_bytes(os.urandom(int(size)))
    return {}


def stage(function: Any, *arguments: str, seconds: float = 60.0) -> Stage:
    return Stage(function.__name__, f"{HERE}:{function.__name__}", seconds, arguments)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    files.fill(folder, None)
    return folder


def is_running(process: int) -> bool:
    """Whether a process runs. One that has ended stays in the table until its parent has asked for its exit code."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in ("Z", "X")


def test_a_stage_that_fails_or_hangs_does_not_stop_the_next(data: Path, tmp_path: Path) -> None:
    child = tmp_path / "child"
    stages = [stage(crash), stage(hang, str(child), seconds=8.0), stage(find_fault), stage(measure)]
    result = gpu.Run("cpu", True, data, tmp_path / "out").run(stages)
    reports = result["stages"]
    assert [reports[each.name]["status"] for each in stages] == ["failed", "stopped at its limit", "failed", "passed"]
    assert "ValueError: the kernel gave nonsense" in reports["crash"]["error"]
    assert 8 <= reports["hang"]["seconds"] < 20
    assert reports["find_fault"]["tests_failed"] == {"one": "because"}
    assert {name: reports["measure"][name] for name in ("device", "tiny", "sentences")} == {
        "device": "cpu", "tiny": True, "sentences": 8,
    }  # fmt: skip
    assert (result["status"], result["limits"]) == ("failed", [])
    assert not is_running(int(child.read_text(encoding="utf-8")))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"gpu.json", "gpu.log"}
    assert json.loads((tmp_path / "out" / "gpu.json").read_text(encoding="utf-8")) == result
    log = (tmp_path / "out" / "gpu.log").read_text(encoding="utf-8")
    assert "===== measure: passed" in log
    assert "measuring" in log
    assert "ValueError: the kernel gave nonsense" in log


def test_stages_that_the_time_is_too_short_for_are_named(data: Path, tmp_path: Path) -> None:
    result = gpu.Run("cpu", True, data, tmp_path, total_seconds=0.0).run([stage(measure)])
    assert result["stages"] == {"measure": {"status": "not run"}}
    assert result["status"] == "failed"


def test_what_the_result_says(data: Path, tmp_path: Path) -> None:
    result = gpu.Run("cpu", True, data, tmp_path).run([])
    assert result["status"] == "passed"
    assert {name for name, value in result.items() if value is not None} >= {
        "benchmark", "date", "device", "tiny", "machine", "stages", "limits", "status", "seconds",
    }  # fmt: skip
    assert result["machine"]["versions"].keys() == set(gpu.PACKAGES)
    assert result["machine"]["versions"]["torch"]


def test_files_come_back_in_pieces(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces.cut, "__defaults__", (1000,))
    result = gpu.Run("cpu", True, data, tmp_path).run([stage(bring_back, "2500")])
    names = [f"student.safetensors.{number}-of-3" for number in (1, 2, 3)]
    assert result["stages"]["bring_back"]["files"] == names
    assert [(tmp_path / name).stat().st_size for name in names] == [1000, 1000, 500]
    assert result["limits"] == []


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda out: [(out / f"{n}.txt").touch() for n in range(9)], "9 files come back, more than 8"),
        (lambda out: (out / "a b").touch(), "'a b' is not a file with a plain name"),
        (lambda out: (out / "folder").mkdir(), "'folder' is not a file with a plain name"),
        (lambda out: (out / "w").write_bytes(bytes(1 << 24)), "w has 16777216 bytes, not less than 16777216"),
    ],
)
def test_limits_of_the_output(data: Path, tmp_path: Path, make: Any, said: str) -> None:
    make(tmp_path)
    (broken,) = gpu.Run("cpu", True, data, tmp_path).broken_limits(1.0)
    assert said in broken


def test_limits_of_time_and_size(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = gpu.Run("cpu", True, data, tmp_path)
    assert run.broken_limits(1.0) == []
    assert "the run took 999 s" in run.broken_limits(999.0)[0]
    monkeypatch.setattr(files, "LIMIT", 1000)
    assert "bytes travel, more than 1000" in run.broken_limits(1.0)[0]
    with pytest.raises(SystemExit, match="MiB together; 0 MiB may travel"):
        files.check_size(files.ROOT, data)


def test_what_travels_without_git(tmp_path: Path) -> None:
    for name in ("src/a.py", ".venv/big", "build/big", ".git/big", ".gpu-files/data"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    assert files.travelling_bytes(tmp_path, tmp_path / ".gpu-files") == 10


def test_pieces_are_joined(tmp_path: Path) -> None:
    source = tmp_path / "weights"
    source.write_bytes(bytes(range(256)) * 10)
    target = tmp_path / "target"
    target.mkdir()
    assert [path.name for path in pieces.cut(source, target, 5000)] == ["weights"], "short enough as it is"
    (target / "weights").unlink()
    cut = pieces.cut(source, target, 200)
    assert len(cut) == 13, "more than nine, so that names do not sort as numbers do"
    assert pieces.join(target) == [target / "weights"]
    assert (target / "weights").read_bytes() == source.read_bytes()
    assert [path.name for path in target.iterdir()] == ["weights"]
    pieces.cut(source, target, 1000)[1].unlink()
    with pytest.raises(FileNotFoundError, match="lacks the pieces 2 of 3"):
        pieces.join(target)


def test_tests_are_counted(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure message="wrong"/></testcase>'
        '<testcase name="c"><skipped message="no GPU"/></testcase>'
        '<testcase name="d"><error message="worse"/></testcase></testsuite></testsuites>',
        encoding="utf-8",
    )
    assert checks.counted(report) == {
        "tests_passed": 1, "tests_failed": {"b": "wrong", "d": "worse"}, "tests_skipped": {"c": "no GPU"},
    }  # fmt: skip


def test_stages_are_there_and_fit_the_time() -> None:
    assert len({each.name for each in STAGES}) == len(STAGES)
    tested = {each.arguments[0] for each in STAGES if each.function == "benchmarks.gpu.checks:run"}
    assert tested == {path.relative_to(files.ROOT).as_posix() for path in (files.ROOT / "tests/gpu").glob("test_*.py")}
    for each in STAGES:
        module, function = each.function.split(":")
        assert callable(getattr(__import__(module, fromlist=[function]), function))
        assert each.seconds <= gpu.TOTAL_SECONDS / 4
