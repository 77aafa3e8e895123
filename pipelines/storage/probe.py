"""Tests whether a machine can read and write a storage. preflight runs this test on the driver and on every node."""

import os

from pipelines.storage.place import Place, StorageError

FOLDER = "probe"


def offer(uri: str) -> str:
    """Write a small file for other machines to read, and return its name. Raises StorageError if this fails."""
    name = f"{FOLDER}/{os.urandom(8).hex()}"
    Place(uri, is_patient=False).put_bytes(name.encode(), name)
    return name


def reads_and_writes(uri: str, offered: str) -> None:
    """Read the file that another machine wrote, then write a file of this machine's own and remove it.

    offered: the name that `offer` returned on the other machine. Raises StorageError if reading, writing or removing
    fails.
    """
    place = Place(uri, is_patient=False)
    if place.get_bytes(offered) != offered.encode():
        raise StorageError(f"storage: {uri}: what another machine wrote is not there; give all machines the same place")
    place.remove_file(offer(uri))


def withdraw(uri: str, offered: str) -> None:
    """Remove the file that `offer` wrote. offered: the name that `offer` returned"""
    Place(uri, is_patient=False).remove_file(offered)
