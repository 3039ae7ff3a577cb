"""Makes shards on a Ray cluster whose machines share the data set's folder and the videos'.

The plan says what is in a shard, so the bytes do not depend on workers or their failures. Ray starts a worker that died
anew and gives its shard to one that lives, which goes on where the tokens of a clip are missing.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DatasetError
from .job import Checked, check, write_shards
from .pack import layout_of
from .pipeline import Running, Tokenizer
from .plan import Plan
from .progress import Progress

LOCAL = "local"
# Of the process that starts the job: the workers' too.
VARIABLES = (
    "GST_PLUGIN_PATH",
    "GST_PLUGIN_SYSTEM_PATH",
    "GST_VIDTOK_MODEL_PATH",
    "LD_LIBRARY_PATH",
    "ORT_DISABLE_TELEMETRY",
    "ORT_DYLIB_PATH",
)
DEFAULT_JOBS = 2


class Worker:
    """Writes shards in a process of its own."""

    def __init__(self, out: str, running: Running, jobs: int) -> None:
        self._out, self._jobs = Path(out), jobs
        self._plan = Plan.of(self._out)
        self._layout = layout_of(self._plan)
        self._tokenizer = Tokenizer(self._plan.options, running)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number = int(row["shard"])
        write_shards(
            self._plan, self._out, [number], self._tokenizer, self._layout, self._jobs, Progress(), threading.Event()
        )
        return {"shard": number}


@dataclass(frozen=True)
class RayEngine:
    """Shards are tasks of Ray Data."""

    address: str
    """Of a cluster; `local`: one is started on this machine, for the job."""
    running: Running
    jobs: int | None
    """Clips side by side in each worker."""
    workers: int | None
    """Processes; `None`: as many as the cluster's processors allow."""
    gpus: float
    """Of each worker: its share of a GPU."""
    progress: Progress
    stop: threading.Event

    @contextmanager
    def checked(self, plan: Plan) -> Iterator[Checked]:
        # Ray sends usage statistics unless it is told not to.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise DatasetError(f"--ray needs Ray: pip install 'vidtok-dataset[ray]' ({error})") from error
        # What is wrong with the options shows here, before workers are started.
        with Tokenizer(plan.options, self.running) as tokenizer:
            check(plan, layout_of(plan), tokenizer)
            digest = tokenizer.format.digest
        yield Checked(digest, lambda out, shards: self._write(ray, plan, out, shards))

    def _write(self, ray: Any, plan: Plan, out: Path, shards: list[int]) -> None:
        variables = {name: os.environ[name] for name in VARIABLES if name in os.environ}
        ray.init(
            address=None if self.address == LOCAL else self.address,
            runtime_env={"env_vars": variables},
            include_dashboard=False if self.address == LOCAL else None,
            log_to_driver=False,
        )
        try:
            self._run(ray, plan, out, shards)
        finally:
            ray.shutdown()

    def _run(self, ray: Any, plan: Plan, out: Path, shards: list[int]) -> None:
        jobs = self.jobs or DEFAULT_JOBS
        workers = self.workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // jobs)
        workers = min(workers, len(shards))
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        rows = ray.data.from_items([{"shard": number} for number in shards], override_num_blocks=len(shards))
        done = rows.map(
            Worker,
            fn_constructor_args=(str(out.absolute()), self.running, jobs),
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
            num_cpus=jobs if not self.gpus else None,
            num_gpus=self.gpus or None,
        )
        for row in done.iter_rows():
            if self.stop.is_set():
                raise InterruptedError
            self.progress.clips(len(plan.shard(int(row["shard"]))))
