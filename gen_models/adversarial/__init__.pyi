from gen_models.adversarial.conv_wgan import ConvWGAN as ConvWGAN
from gen_models.adversarial.dcgan import DCGAN as DCGAN
from gen_models.adversarial.f_gan import FGAN as FGAN
from gen_models.adversarial.gan import GAN as GAN
from gen_models.adversarial.optimistic import OptimisticAdam as OptimisticAdam
from gen_models.adversarial.optimistic import OptimisticSGD as OptimisticSGD
from gen_models.adversarial.sn_wgan import SNWGAN as SNWGAN
from gen_models.adversarial.wgan import WGAN as WGAN
