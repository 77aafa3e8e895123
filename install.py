"""Installs requirements.lock and this project into .venv. `make` runs it, with nothing but Python's own library.

    python3 install.py auto     PyTorch's CUDA build where there is an NVIDIA GPU, else its CPU build
    python3 install.py cpu
    python3 install.py cuda

All that pip prints goes to .venv/install.log.
"""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

VERSIONS = ((3, 11), (3, 12), (3, 13))  # for which all of requirements.lock has wheels
# (MB to download, MB on disk). For cpu they are measured, and a test compares the second with what is installed. For
# cuda they are estimated: PyTorch's wheel has 527 MB, and the CUDA libraries that it needs some 2.1 GB.
SIZES = {"cpu": (530, 2300), "cuda": (3000, 8000)}
CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # PyPI has only the CUDA build for Linux
GPU_FILES = ("/dev/nvidia0", "/proc/driver/nvidia/version")
UNHEARD = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
FOLDER = Path(__file__).resolve().parent
VENV = FOLDER / ".venv"
LOCK = FOLDER / "requirements.lock"
LOG = VENV / "install.log"
CAUSES = (  # a pattern in pip's output, and what it means; the first that is found is told
    (r"No space left on device", "the disk is full: free some space"),
    (r"CERTIFICATE_VERIFY_FAILED|SSLError", "a TLS certificate is not trusted: set PIP_CERT to your network's own"),
    (
        r"NewConnectionError|NameResolutionError|ProxyError|ConnectTimeout|ReadTimeout|Read timed out|Network is unrea",
        "the package index does not answer: check the network, or the proxy (HTTPS_PROXY)",
    ),
    (r"No matching distribution found for ([^\s(]+)", "the package index has no {0} for this Python and machine"),
    (r"Permission denied: '([^']+)'", "{0} cannot be written: check who owns it"),
)
SECONDS_BETWEEN_LINES = 60  # of progress, where there is no terminal


next_line = time.monotonic() + SECONDS_BETWEEN_LINES


class InstallError(Exception):
    """What stopped the installation, as one line with its remedy."""


def main(asked):
    """Install, or exit with one line. asked: cpu, cuda or auto"""
    try:
        check_python(sys.version_info[:2])
        build, why = choose(asked)
        megabytes, on_disk = SIZES[build]
        check_disk(on_disk)
        print(
            f"installing {len(pins())} packages into .venv: about {megabytes / 1000:.1f} GB to download, "
            f"{on_disk / 1000:.1f} GB on disk\n"
            f"for Python {sys.version.split()[0]}, with PyTorch's {build.upper()} build: {why}",
            flush=True,
        )
        started = time.monotonic()
        make_venv()
        if build == "cpu":
            install_cpu_torch(may_be_another=asked == "auto")
        pip("packages", "-r", str(LOCK))
        pip("this project", "--no-deps", "-e", str(FOLDER))
        print(f"installed in {time.monotonic() - started:.0f} s")
    except InstallError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command starts it again")


def check_python(version):
    if version in VERSIONS:
        return
    names = [f"python{major}.{minor}" for major, minor in VERSIONS]
    there = [name for name in names if shutil.which(name) and not subprocess.run([name, "-V"], **UNHEARD).returncode]
    raise InstallError(
        f"Python 3.11, 3.12 or 3.13 is needed, found {version[0]}.{version[1]}: "
        + (f"make PYTHON={there[-1]} ..." if there else "install one, then make PYTHON=python3.12 ...")
    )


def choose(asked):
    """Return (cpu or cuda, why)."""
    if asked in SIZES:
        return asked, f"TORCH={asked} asks for it"
    if asked != "auto":
        raise InstallError(f"TORCH={asked}: expected cpu, cuda or auto")
    if shutil.which("nvidia-smi") or any(Path(file).exists() for file in GPU_FILES):
        return "cuda", "an NVIDIA GPU was found (TORCH=cpu for the smaller build)"
    return "cpu", "no NVIDIA GPU was found (TORCH=cuda for the other build)"


def check_disk(megabytes):
    free = shutil.disk_usage(FOLDER).free / 1e6
    if free < megabytes and not (VENV / ".installed").exists():
        raise InstallError(f"{megabytes / 1000:.1f} GB are needed in {FOLDER}, {free / 1000:.1f} GB are free")


def pins():
    """Return {package: version} of requirements.lock."""
    return dict(line.split("==") for line in LOCK.read_text().splitlines() if "==" in line)


def make_venv():
    """Make .venv, or make it anew if it is another Python's."""
    ours = "version = {}.{}.".format(*sys.version_info[:2])
    facts = VENV / "pyvenv.cfg"
    options = ["--clear"] if facts.exists() and ours not in facts.read_text() else []
    made = subprocess.run([sys.executable, "-m", "venv", *options, str(VENV)], capture_output=True, text=True)
    if made.returncode:
        package = "python{}.{}-venv".format(*sys.version_info[:2])
        reason = (made.stdout + made.stderr).strip().splitlines() or ["no message"]
        remedy = (
            f"install {package} (on Debian and Ubuntu: apt install {package})" if "ensurepip" in str(reason) else ""
        )
        raise InstallError(f"{VENV} cannot be made: {remedy or reason[-1]}")
    LOG.write_text("")


def install_cpu_torch(may_be_another):
    """Install PyTorch's CPU build: from the sources that pip is set up for if they have it, else from PyTorch's own."""
    torch = f"torch=={pins()['torch']}+cpu"
    try:
        pip("PyTorch", "--no-deps", torch)
    except InstallError:
        try:
            pip("PyTorch", "--no-deps", "--retries", "2", "--index-url", CPU_INDEX, torch)
        except InstallError as error:
            if not may_be_another:
                raise InstallError(f"{CPU_INDEX}: {error}") from None
            more = SIZES["cuda"][0] / 1000
            print(f"{CPU_INDEX} gives no {torch}: pip's own index it is, perhaps the CUDA build with {more:.0f} GB")


def pip(title, *arguments):
    """Run `pip install`, and show on one line how far it is. Raises InstallError with the likely cause."""
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    with LOG.open("a") as log:
        begin = log.tell()
        process = subprocess.Popen(
            [*command, "--progress-bar", "off", *arguments], stdout=log, stderr=log, cwd=str(FOLDER)
        )
        while process.poll() is None:
            time.sleep(0.5)
            show(title, read(begin))
    said = read(begin)
    clear()
    if process.returncode:
        raise InstallError(f"{likely_cause(said)}, then repeat the command (pip's own words: {LOG})")


def read(begin):
    """Return what pip wrote into the log since the byte `begin`."""
    return LOG.read_bytes()[begin:].decode(errors="replace")


def likely_cause(said):
    for pattern, meaning in CAUSES:
        found = re.search(pattern, said)
        if found:
            return meaning.format(*found.groups())
    errors = [line for line in said.splitlines() if line.startswith("ERROR")] or ["pip failed"]
    return " ".join(errors[0].split())[:200]


def show(title, said):
    """Rewrite the line of progress on a terminal; elsewhere print one each minute."""
    global next_line
    downloaded = 0.0
    for size, unit in re.findall(r"Downloading \S+ \(([\d.]+) (kB|MB)", said):
        downloaded += float(size) / (1 if unit == "MB" else 1000)
    seen = len(set(re.findall(r"^(?:Collecting|Requirement already satisfied:) ([\w.-]+)", said, re.MULTILINE)))
    doing = f"{seen} found, {downloaded:.0f} MB downloaded" if seen else "starting"
    doing = "writing files" if "Installing collected packages" in said else doing
    if sys.stdout.isatty():
        print(f"\r\033[K  {title}: {doing}", end="", flush=True)
    elif time.monotonic() > next_line:
        next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        print(f"  {title}: {doing}", flush=True)


def clear():
    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "auto")
