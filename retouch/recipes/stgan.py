"""STGAN's recipes."""
from __future__ import annotations

from retouch.data.configs import AttributeData
from retouch.engine.config import TrainConfig
from retouch.methods.stgan import Config
from retouch.recipes import attgan
from retouch.recipes.stargan import SIX
from retouch.run import Run
from retouch.toyfaces.identity import THIRTEEN


def paper() -> Run:
    """The baseline of the CAM-consistency paper: bluestyle97's CelebA setting at 128 px, 1,000,000 iterations, batch 32."""
    return Run(method=Config(), data=AttributeData(source='celeba', attributes=THIRTEEN, size=128, crop=178),
               train=TrainConfig(iterations=1_000_000, batch_size=32, log_every=100, sample_every=5000, save_every=20_000))


def official() -> Run:
    """The authors' own: their generator and losses, 200 epochs of 947 x 6 batches, pictures cut to 170 px and never flipped."""
    run = paper()
    return run.model_copy(update={'method': Config(variant='official', schedule='step_at_half'),
                                  'data': run.data.model_copy(update={'crop': 170, 'flip': False, **attgan.SPLIT}),
                                  'train': run.train.model_copy(update={'iterations': 1_136_400})})


def toyfaces() -> Run:
    """Small: drawn faces at 32 px, six attributes, for two CPU cores; the last map is 4x4, as in the paper. A lighter class loss for G."""
    return Run(method=Config(width_g=32, width_d=16, layers=3, lambda_cls_g=2.0, n_critic=1, lr=1e-3, schedule='linear_last_40'),
               data=AttributeData(attributes=SIX, size=32, targets='single', n=4000),
               train=TrainConfig(iterations=8000, batch_size=8, ema=0.999, log_every=50, sample_every=1000, save_every=1000))


ROWS = {'paper': paper, 'official': official, 'toyfaces': toyfaces}
