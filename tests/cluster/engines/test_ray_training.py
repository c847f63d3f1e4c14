"""Training on Ray: the numbers of the same processes without it, also after one of them was killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("ray")

from distilbert import InputError, distill, finetune
from distilbert.cluster.ray_training import train_on_ray
from distilbert.core.errors import TrainingError, UsageError
from tests.training.finetuning.tiny_tasks import config_of as finetune_config
from tests.training.tiny_run import assert_equal, config_of, options, run, settings, weights, write_model

pytestmark = pytest.mark.filterwarnings("ignore")  # of Ray's


@pytest.mark.usefixtures("cluster")
@pytest.mark.timeout(600)
def test_two_workers_are_two_processes(tmp_path: Path) -> None:
    teacher = write_model(tmp_path / "teacher")
    values = settings(tmp_path, teacher=teacher, threads=1)
    code, _, errors = run(["distill", *options(values)], processes=2)
    assert code == 0, errors
    expected = weights(values["output"])
    folder = train_on_ray(distill, config_of(tmp_path, teacher, threads=1, output=str(tmp_path / "ray")), workers=2)
    assert_equal(weights(folder), expected)
    killed = config_of(tmp_path, teacher, threads=1, output=str(tmp_path / "killed"))
    killer = threading.Thread(target=kill_a_worker, args=(Path(killed.output),))
    killer.start()
    assert_equal(weights(train_on_ray(distill, killed, workers=2)), expected)
    killer.join()


def kill_a_worker(folder: Path) -> None:
    """Kill one of the processes that train, once the first checkpoint is there."""
    for _ in range(3000):
        if list(folder.glob("checkpoints/step-*")):
            break
        time.sleep(0.02)
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            name = status.read_bytes()
        except OSError:
            continue
        if b"RayTrainWorker" in name:
            os.kill(int(status.parent.name), signal.SIGKILL)
            return


@pytest.mark.usefixtures("cluster")
def test_a_run_that_cannot_work_is_not_tried_again(tmp_path: Path) -> None:
    teacher = write_model(tmp_path / "teacher")
    config = config_of(tmp_path, teacher, threads=1)
    train_on_ray(distill, config, workers=1)
    with pytest.raises(InputError, match="holds a run"):
        train_on_ray(distill, config, workers=1)
    with pytest.raises(UsageError, match="do not fit into this cluster"):
        train_on_ray(distill, config, workers=3)
    with pytest.raises(UsageError, match="at least one worker"):
        train_on_ray(distill, config, workers=0)


@pytest.mark.usefixtures("cluster")
@pytest.mark.timeout(600)
def test_a_sweep_has_the_runs_of_one_machine(tmp_path: Path) -> None:
    values = {"seeds": 2, "learning_rates": [0.001, 0.03], "max_steps": 2, "threads": 1}
    here = finetune(finetune_config(tmp_path / "here", **values), verbose=False)
    config = finetune_config(tmp_path / "ray", **values)
    folder = train_on_ray(finetune, config, workers=2)
    runs = sorted(path.name for path in (here / "runs").iterdir())
    assert sorted(path.name for path in (folder / "runs").iterdir()) == runs
    for name in runs:
        assert_equal(weights(folder / "runs" / name), weights(here / "runs" / name))
    tables = [json.loads((path / "runs.json").read_text()) for path in (folder, here)]
    assert tables[0]["chosen"] == tables[1]["chosen"]
    assert_equal(weights(folder), weights(here))
    (folder / "runs" / runs[0] / "summary.json").unlink()
    assert train_on_ray(finetune, config, workers=2, resume=True) == folder
    with pytest.raises(InputError, match="holds a run"):
        train_on_ray(finetune, config, workers=2)
    broken = finetune_config(tmp_path / "broken", **values, max_length=500)
    with pytest.raises(TrainingError, match="max_length 500 is more than the model's"):
        train_on_ray(finetune, broken, workers=2)
