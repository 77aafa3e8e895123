"""`python -m pipelines.training.ray_probe ADDRESS`: asks whether a Ray cluster answers at an address, and prints which.

Ray's own connection may wait for a minute, in code that no signal interrupts. So `probe` runs this module in another
process, which can be ended at any time. The last line that this process prints is HOST:PORT of the cluster or, if there
is none, the reason, such as "gone".
"""

import os
import socket
import subprocess
import sys
import threading
import time
from typing import IO

NONE, GONE, NO_TOKEN, OTHER_TOKEN, SILENT = "none", "gone", "no token", "other token", "silent"
LISTENER_SECONDS = 3.0
SECONDS_BETWEEN_LOOKS = 0.05
REFUSED = "Unauthenticated"  # what Ray's own log says when a token is missing or wrong


def probe(address: str, seconds: float) -> tuple[str | None, str]:
    """Return (HOST:PORT of the Ray cluster at an address, ""), or (None, the reason) if none answers within `seconds`.

    address: as in RAY_ADDRESS: HOST:PORT, or "auto" for the cluster of this machine
    The reason is one of these words, or else a line of Ray's:
    NONE: no cluster runs on this machine; GONE: the last cluster of this machine has ended
    NO_TOKEN: the cluster asks for a token, and this process has none; OTHER_TOKEN: the cluster has another token
    SILENT: nothing that is Ray answers
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.training.ray_probe", address],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert process.stderr is not None and process.stdout is not None
    try:
        said: list[str] = []
        threading.Thread(target=_listen, args=(process.stderr, said), daemon=True).start()
        deadline = time.monotonic() + seconds
        while process.poll() is None:
            if any(REFUSED in line for line in said):
                return None, _token()
            if time.monotonic() > deadline:
                return None, SILENT
            time.sleep(SECONDS_BETWEEN_LOOKS)
        answer = (process.stdout.read().strip().splitlines() or [SILENT])[-1]
        return (answer, "") if process.returncode == 0 else (None, answer)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _listen(stream: IO[str], said: list[str]) -> None:
    with stream:
        said.extend(stream)


def _token() -> str:
    """Return the reason after a cluster has refused this process.

    OTHER_TOKEN if RAY_AUTH_MODE makes Ray send a token, else NO_TOKEN.
    """
    return OTHER_TOKEN if os.environ.get("RAY_AUTH_MODE", "").lower() == "token" else NO_TOKEN


def main(address: str) -> int:
    from ray._private import services
    from ray._private.authentication import authentication_token_setup as authentication
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError, RayError

    try:
        found = services.canonicalize_bootstrap_address_or_die(address)
    except (ConnectionError, ValueError):
        print(NONE)
        return 1
    host, _, port = found.rpartition(":")
    try:  # Ray notes the address of the last cluster in a file, which stays when the cluster is killed
        socket.create_connection((host.strip("[]"), int(port)), timeout=LISTENER_SECONDS).close()
    except OSError:  # Ray asks at this machine's own address, where perhaps nobody listens
        print(GONE if address == "auto" else SILENT)
        return 1
    try:
        if address == "auto":  # as ray.init does: what runs on this machine may have the token
            authentication.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        authentication.ensure_token_if_auth_enabled(create_token_if_missing=False)
        GcsClient(address=found)
    except AuthenticationError:
        print(NO_TOKEN)
        return 1
    except (RayError, OSError, RuntimeError) as error:
        print(SILENT if "imed out" in str(error) else " ".join(str(error).split())[:200])
        return 1
    print(found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
