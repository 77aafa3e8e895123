"""`python -m benchmarks.games ROW ...`: measures rows on games; all of them if none is named.

    modes-DATA           modes that the best game reaches, over ten seeds                       benchmarks/modes.py
    modes-variants-DATA  the same of every variant, over three seeds and fewer minibatches
    fgan-DIVERGENCE      a Gaussian fitted to two by an f-GAN, beside the numeric optimum       benchmarks/fits.py
    wasserstein-exact    a critic's estimate of W beside the exact W of the same finite samples benchmarks/transport.py
    dcgan-digits, snwgan-digits
                         Frechet distance of own features over that of training to test rows    benchmarks/fidelity.py

Settings are those of benchmarks/settings/games; they were chosen on validation rows and other seeds.
"""

from benchmarks import fidelity, fits, modes, plan, transport

MEASURES: dict[str, plan.Measure] = {
    "modes": modes.modes,
    "variants": modes.variants,
    "fit": fits.fit,
    "transport": transport.transport,
    "fidelity": fidelity.fidelity,
}


def main() -> None:
    plan.run("games", MEASURES, __doc__)


if __name__ == "__main__":
    main()
