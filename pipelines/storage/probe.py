"""Whether a machine can read and write a storage: what preflight asks the driver and every node."""

import os

from pipelines.storage.place import Place, StorageError

FOLDER = "probe"


def offer(uri: str) -> str:
    """Write a file for other machines to read, and return its name. Raises StorageError if it cannot be written."""
    name = f"{FOLDER}/{os.urandom(8).hex()}"
    Place(uri, is_patient=False).put_bytes(name.encode(), name)
    return name


def reads_and_writes(uri: str, offered: str) -> None:
    """Read what another machine has written, and write and remove a file. Raises StorageError if one of them fails."""
    place = Place(uri, is_patient=False)
    if place.get_bytes(offered) != offered.encode():
        raise StorageError(f"storage: {uri}: what another machine wrote is not there; give all machines the same place")
    place.remove_file(offer(uri))


def withdraw(uri: str, offered: str) -> None:
    """Remove the file of `offer`."""
    Place(uri, is_patient=False).remove_file(offered)
