"""`python -m benchmarks.latent ROW ...`: measures rows on autoencoders and latent-variable models, by default all.

    compression-mnist-rR, denoising-mnist
                         squared error over that of the best linear map         benchmarks/reconstructions.py
    one-class-mnist      area under the ROC curve, trained on one digit         benchmarks/one_class.py
    likelihood-paradox, likelihood-paradox-vae
                         area under the ROC curve, digits against clothes       benchmarks/likelihood_paradox.py
    ae-kmeans-mnist      accuracy of clusters of latents                        benchmarks/clusters.py
    gmm-PLANE, vae-mnist, iwae-kK-mnist, local-inference-mnist
                         likelihoods, and what inference leaves of them         benchmarks/bounds.py
    bits-back-mnist      rate without loss against -ELBO                        benchmarks/lossless.py
    vqvae-mnist, vqvae2-mnist
                         squared error at equal bits                            benchmarks/codebooks.py
    beta-mig             what beta does to the mutual information gap           benchmarks/disentangling.py

Settings are those of benchmarks/settings/latent; they were chosen on validation rows and other seeds. GEN_MODELS_DATA
says where MNIST and Fashion-MNIST are.
"""

from benchmarks import (
    bounds,
    clusters,
    codebooks,
    disentangling,
    likelihood_paradox,
    lossless,
    one_class,
    plan,
    reconstructions,
)

MEASURES: dict[str, plan.Measure] = {
    "compression": reconstructions.compression,
    "denoising": reconstructions.denoising,
    "one_class": one_class.one_class,
    "paradox": likelihood_paradox.paradox,
    "clusters": clusters.clusters,
    "gap": bounds.gap,
    "nats": bounds.nats,
    "order": bounds.order,
    "inference": bounds.inference,
    "lossless": lossless.lossless,
    "one_level": codebooks.one_level,
    "two_levels": codebooks.two_levels,
    "disentangling": disentangling.disentangling,
}


def main() -> None:
    plan.run("latent", MEASURES, __doc__)


if __name__ == "__main__":
    main()
