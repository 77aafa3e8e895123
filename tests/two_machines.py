"""Two machines on this one: network namespaces with a cable between them, and mount namespaces that hide folders.

The first machine holds the driver, the head of the Ray cluster, an S3 server and an MLflow server. The second one sees
neither the project nor the repository's code, only the installed libraries. Needs root and iproute2.
"""

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.project import HERE, environment

FIRST, SECOND = "10.77.31.1", "10.77.31.2"
BUCKET = "bucket"
PATIENCE = 90.0
HIDDEN = ("gen_models", "pipelines", "conf", "tests")  # of the repository, which an editable install would find


def cannot() -> str | None:
    """Return why there can be no namespaces here, or None."""
    if os.geteuid() != 0:
        return "namespaces need root"
    missing = [name for name in ("ip", "unshare", "nsenter") if shutil.which(name) is None]
    return f"{', '.join(missing)} not installed" if missing else None


class Machines:
    """The two machines. folder: a short path for their files; shares: whether the second one sees the project folder"""

    def __init__(self, folder: Path, project: Path, *, shares: bool):
        self.folder, self.project, self.shares = folder, project, shares
        self.names = [f"gm{os.getpid()}{end}" for end in "ab"]
        self._token = secrets.token_hex(32)
        self._started: list[subprocess.Popen] = []
        self.second: subprocess.Popen | None = None

    def __enter__(self) -> "Machines":
        first, second = self.names
        for name in self.names:
            _run("ip", "netns", "add", name)
        _run("ip", "link", "add", f"{first}v", "type", "veth", "peer", "name", f"{second}v")
        for name, address in zip(self.names, (FIRST, SECOND), strict=True):
            _run("ip", "link", "set", f"{name}v", "netns", name)
            _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", f"{name}v")
            for device in (f"{name}v", "lo"):
                _run("ip", "-n", name, "link", "set", device, "up")
        self._start(first, "moto_server", "-H", FIRST, "-p", "5555")
        self._start(
            first, "mlflow", "server", "--host", FIRST, "--port", "5000", "--allowed-hosts", "*", "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db",
            "--artifacts-destination", f"{self.folder}/kept",
        )  # fmt: skip
        self._start(
            first, "ray", "start", "--head", f"--node-ip-address={FIRST}", "--port=6379", "--num-cpus=1",
            "--include-dashboard=false", f"--temp-dir={self.folder}/r", "--block",
        )  # fmt: skip
        self.wait(lambda: self._answers(f"http://{FIRST}:5555/moto-api/"), "the S3 server")
        self.wait(lambda: self._answers(f"http://{FIRST}:5000/health"), "the MLflow server")
        make = (
            f"import pyarrow.fs as fs; fs.S3FileSystem(endpoint_override='{FIRST}:5555', scheme='http', "
            f"region='us-east-1', allow_bucket_creation=True).create_dir('{BUCKET}')"
        )
        self.wait(lambda: self.call(sys.executable, "-c", make).returncode == 0, "the bucket")
        self.start_second()
        return self

    def __exit__(self, *error: object) -> None:
        for name in self.names:
            for pid in _output("ip", "netns", "pids", name).split():
                os.kill(int(pid), signal.SIGKILL)
            _run("ip", "netns", "del", name)
        for process in self._started:
            process.wait(PATIENCE)

    def start_second(self) -> None:
        """Start the second machine, and wait until the cluster has its CPU."""
        hide = [self.folder / "r"]  # where Ray's processes of a machine meet
        if not self.shares:
            hide += [self.project, *(HERE / name for name in HIDDEN)]
        self.node = self.folder / "second"
        self.node.mkdir(exist_ok=True)
        steps = ["mount --make-rprivate /", *(f"mount -t tmpfs none {shlex.quote(str(path))}" for path in hide)]
        steps.append(f"exec ray start --address={FIRST}:6379 --node-ip-address={SECOND} --num-cpus=1 --block")
        self.second = self._start(
            self.names[1], "unshare", "-m", "sh", "-c", " && ".join(steps), GEN_MODELS_NODE_FOLDER=str(self.node)
        )
        look = "import ray; ray.init(address='auto', logging_level='critical', log_to_driver=False); "
        look += "import sys; sys.exit(ray.cluster_resources().get('CPU') != 2)"
        self.wait(lambda: self.call(sys.executable, "-c", look, RAY_ADDRESS=f"{FIRST}:6379").returncode == 0, "a node")

    def kill_second(self) -> None:
        """Let the second machine's processes die at once."""
        assert self.second is not None
        for pid in _output("ip", "netns", "pids", self.names[1]).split():
            os.kill(int(pid), signal.SIGKILL)
        self.second.wait(PATIENCE)

    def call(self, *command: str, seconds: float = 900, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the first machine, in the project, to its end."""
        return subprocess.run(
            ["ip", "netns", "exec", self.names[0], *command], cwd=self.project, env=self._environment() | more,
            capture_output=True, text=True, timeout=seconds,
        )  # fmt: skip

    def start(self, *command: str) -> subprocess.Popen:
        """Start the driver's command on the first machine, in the project."""
        return self._start(self.names[0], *command, PYTHONPATH=str(self.project), **self.driver)

    def stored(self) -> list[str]:
        """Return the names of what the storage holds."""
        look = (
            f"from pipelines.storage.place import Place; print(*Place('s3://{BUCKET}/models').names(''), sep=chr(10))"
        )
        return self.call(sys.executable, "-c", look, PYTHONPATH=str(self.project)).stdout.split()

    @property
    def driver(self) -> dict[str, str]:
        return {"RAY_ADDRESS": f"{FIRST}:6379", "MLFLOW_TRACKING_URI": f"http://{FIRST}:5000"}

    def _environment(self) -> dict[str, str]:
        kept = environment(self.project)
        del kept["PYTHONPATH"]
        return kept | {
            "AWS_ENDPOINT_URL": f"http://{FIRST}:5555",
            "AWS_ACCESS_KEY_ID": "anyone", "AWS_SECRET_ACCESS_KEY": "secret",
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self._token, "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1", "GEN_MODELS_NODE_FOLDER": str(self.folder / "first"),
        }  # fmt: skip

    def _start(self, name: str, *command: str, **more: str) -> subprocess.Popen:
        with (self.folder / f"{Path(command[0]).name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", name, *command], cwd=self.project, env=self._environment() | more,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._started.append(process)
        return process

    def _answers(self, address: str) -> bool:
        return self.call("curl", "-sf", "-o", "/dev/null", address).returncode == 0

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}: see {self.folder}"
            time.sleep(0.3)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
