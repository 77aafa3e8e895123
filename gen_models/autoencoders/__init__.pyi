from gen_models.autoencoders.autoencoder import Autoencoder as Autoencoder
from gen_models.autoencoders.iwae import IWAE as IWAE
from gen_models.autoencoders.vae import VAE as VAE
from gen_models.autoencoders.vq_vae import VQVAE as VQVAE
from gen_models.autoencoders.vq_vae2 import VQVAE2 as VQVAE2
