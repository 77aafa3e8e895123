"""A stack of symbols that takes nearly as few bits as their probabilities allow.

It uses asymmetric numeral systems (Duda, 2013). The stack is last in, first out. A `pop` with the probabilities of the
last `push` returns the symbols of that push and restores the stack as it was before it. A pop with other probabilities
draws symbols from these probabilities, with the bits on the stack as randomness; bits_back.py needs this.

Probabilities are rounded to 24 bits, and none is rounded to 0: a symbol costs at most 24 bits.
"""

import constriction
import numpy as np
from jaxtyping import Float, Int, UInt32

from gen_models.errors import DataError, one_line

_Ans = constriction.stream.stack.AnsCoder
_model = constriction.stream.model


class Stack:
    """A stack of symbols, stored in words of 32 bits.

    words  the contents with which the stack starts; the last word must not be 0. None: the stack starts empty
    """

    def __init__(self, words: UInt32[np.ndarray, " words"] | None = None):
        try:
            self._coder = _Ans() if words is None else _Ans(np.ascontiguousarray(words, dtype=np.uint32))
        except ValueError as error:
            raise DataError(
                f"compressed words cannot be read ({one_line(error)}); take another copy of the file"
            ) from None

    def push(
        self,
        symbols: Int[np.ndarray, " symbols"],
        probabilities: Float[np.ndarray, "symbols size"] | Float[np.ndarray, " size"],
    ) -> None:
        """Put symbols, whole numbers from 0 to size - 1, on the stack.

        probabilities  one row for each symbol, or one row for all; a row need not sum to 1
        """
        if len(symbols) and probabilities.shape[-1] > 1:  # if there is only one possible symbol, it costs nothing
            self._coder.encode_reverse(_symbols(symbols), *_categorical(probabilities))

    def pop(
        self, probabilities: Float[np.ndarray, "symbols size"] | Float[np.ndarray, " size"], count: int | None = None
    ) -> Int[np.ndarray, " symbols"]:
        """Remove symbols and return them.

        probabilities  as `push` takes them
        count          how many symbols, if all share one row of probabilities
        """
        count = len(probabilities) if count is None else count
        if not count or probabilities.shape[-1] == 1:
            return np.zeros(count, dtype=np.int32)
        family, *rows = _categorical(probabilities)
        return self._coder.decode(family, *(rows or [count]))

    def push_even(self, symbols: Int[np.ndarray, " symbols"], size: int) -> None:
        """Put symbols from 0 to size - 1, all equally likely, on the stack."""
        self._coder.encode_reverse(_symbols(symbols), _model.Uniform(size))

    def pop_even(self, count: int, size: int) -> Int[np.ndarray, " symbols"]:
        """Remove `count` symbols from 0 to size - 1, all equally likely, and return them."""
        return self._coder.decode(_model.Uniform(size), count)

    def words(self) -> UInt32[np.ndarray, " words"]:
        """Return the contents of the stack, in words of 32 bits."""
        return self._coder.get_compressed()

    def bits(self) -> int:
        """Return how many bits are on the stack, not counting the last set bit, which marks its end."""
        return self._coder.num_valid_bits()


def _categorical(probabilities: np.ndarray) -> tuple:
    """Return the coder's arguments: one model for all symbols, or the model family and a row for each symbol."""
    probabilities = np.ascontiguousarray(probabilities, dtype=np.float64)
    sums = probabilities.sum(axis=-1)
    if not (np.isfinite(sums).all() and (sums > 0).all() and (probabilities >= 0).all()):
        raise DataError("probabilities of symbols are not finite, or all 0: check the model, or the table of the file")
    if probabilities.ndim == 1:
        return (_model.Categorical(probabilities, perfect=False),)
    return _model.Categorical(perfect=False), probabilities


def _symbols(symbols: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(symbols, dtype=np.int32)
