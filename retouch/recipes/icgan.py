"""IcGAN's recipes."""
from __future__ import annotations

from retouch.data.configs import AttributeData
from retouch.engine.config import TrainConfig
from retouch.methods.icgan import Config
from retouch.recipes.stargan import SIX
from retouch.run import Run

EIGHTEEN = ('Bald', 'Bangs', 'Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Bushy_Eyebrows', 'Eyeglasses', 'Gray_Hair', 'Heavy_Makeup', 'Male',
            'Mouth_Slightly_Open', 'Mustache', 'Pale_Skin', 'Receding_Hairline', 'Smiling', 'Straight_Hair', 'Wavy_Hair', 'Wearing_Hat')


def paper() -> Run:
    """The authors' CelebA: eighteen attributes, 64 px of the middle 138, batch 64, 25 epochs of the GAN and 15 of either encoder."""
    return Run(method=Config(), data=AttributeData(source='celeba', attributes=EIGHTEEN, size=64, crop=138, holdout=19_961),
               train=TrainConfig(epochs=55, iterations=156_915, batch_size=64, log_every=100, sample_every=5000, save_every=10_000))


def toyfaces() -> Run:
    """Small: drawn faces at 32 px, six attributes, for two CPU cores; the encoders learn at ten times the rate."""
    return Run(method=Config(latent=64, width_g=32, width_d=32, width_e=16, hidden_z=512, hidden_y=128, lr=4e-4, lr_e=1e-3),
               data=AttributeData(attributes=SIX, size=32, n=8000),
               train=TrainConfig(iterations=4000, batch_size=16, ema=0.999, log_every=50, sample_every=500, save_every=1000))


ROWS = {'paper': paper, 'toyfaces': toyfaces}
