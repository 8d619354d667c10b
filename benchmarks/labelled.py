"""The critic of `local` under other systems: ablation rows of `equal_seconds.py critic`, and nobody's default.

What judges pictures changes, and how fast and how hard it is listened to: StarGAN, which is also CAM's and SeCGAN's RGB branch, and
AGGAN-multi have `networks.local.Critic` for D, learn from it by equations (1) to (3), (5) and (6) of `methods/local.py` where they had
Wasserstein losses with a penalty, and have WEIGHTS in the place of their recipe's, SeCGAN's semantic branch, too, whose critic stays its
own. Generators, reconstruction, masks and CAM's loss stay as they are. Run folders of such trainings are read within `labelled()` alone.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from retouch.data.batches import AttributeBatch, DataSpec
from retouch.engine.update import Keep, Step, with_graph
from retouch.guidance.mask import mask_logs
from retouch.losses import l1_mean, r1_penalty
from retouch.methods import cam, secgan
from retouch.methods.aggan_multi import AGGANMulti
from retouch.methods.registry import METHODS
from retouch.methods.stargan import StarGAN
from retouch.networks.local import Critic, label_scores
from retouch.networks.stargan import Discriminator

GAMMA, R1_EVERY, LAMBDA_WRONG = 2.0, 4, 0.5                      # the defaults of `local`
WEIGHTS = {'lambda_adv': 1.0, 'lambda_cls': 1.0, 'lr': 4e-4, 'n_critic': 2}     # likewise, in the place of a recipe's own


class LabelledCritic(Critic):
    """`local`'s critic with the maps and the class head that StarGAN reads and Grad-CAM looks at."""

    features = Discriminator.features                            # type: ignore[assignment]    # its convs and slope by the same names

    def scores(self, maps: list[Tensor], labels: Tensor) -> list[Tensor]:
        """As Critic's, whose modules of that name lie behind the method `heads` here."""
        return label_scores(self._modules['heads'], [maps[i] for i in self.at], labels)      # type: ignore[arg-type]

    def heads(self, a: Tensor, depth: int | None = None) -> tuple[None, Tensor]:
        """No score, which needs labels, and class logits [N,K], from the map after `depth` convolutions (None: the last one)."""
        for conv in self.convs[len(self.convs) if depth is None else depth:]:
            a = F.leaky_relu(conv(a), self.slope)
        return None, self.logits([a])

    def forward(self, x: Tensor) -> tuple[None, Tensor]:
        return self.heads(self.features(x)[-1])


class Labelled:
    """Comes before a system of StarGAN's shape. Numbers of equations are those of `methods/local.py`."""

    nets: Any
    config: Any
    classification: Any

    def __init__(self, config: Any, data: DataSpec, *channels: int) -> None:
        super().__init__(config, data, *channels)                # type: ignore[call-arg]
        if self.nets['D'].convs[0].in_channels == 3:             # SeCGAN's semantic branch judges parses by its own
            self.nets['D'] = LabelledCritic(len(data.attributes), data.size, config.width_d)

    def discriminator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        """(1) to (5)."""
        c, D, x, a, b = self.config, self.nets['D'], batch.image, batch.labels, batch.target
        made = self.generate(x, a, b)                            # type: ignore[attr-defined]
        edit, mask = made if isinstance(made, tuple) else (made, None)
        y = edit.detach()
        maps = D.features(torch.cat([x, y]))
        real, fake = [m[:len(x)] for m in maps], [m[len(x):] for m in maps]
        wrong, logits = (a != b).any(1).float()[:, None, None], D.logits(maps)
        loss_adv = sum(F.softplus(-s).mean() for s in D.scores(real, a)) + sum(F.softplus(s).mean() for s in D.scores(fake, b))   # (1) (2)
        loss_wrong = sum((wrong * F.softplus(s)).mean() for s in D.scores(real, b))                                               # (3)
        loss_cls = self.classification(logits[:len(x)], a)                                                                        # (4)
        due = batch.moment.iteration % R1_EVERY == 0
        loss_pen = R1_EVERY * r1_penalty(partial(D.mean_score, labels=a), x) if due else torch.zeros_like(loss_cls)     # (5)
        return Step(loss_adv + LAMBDA_WRONG * loss_wrong + c.lambda_cls * loss_cls + GAMMA / 2 * loss_pen,
                    {'adv': loss_adv.detach(), 'wrong': loss_wrong.detach(), 'cls': loss_cls.detach(), 'pen': loss_pen.detach()},
                    keep=with_graph(edit=edit) if mask is None else with_graph(edit=edit, mask=mask),
                    parts={'edit': y, 'maps': maps, 'logits': logits})

    def judged(self, maps: list[Tensor], b: Tensor) -> tuple[Tensor, Tensor]:
        """(6) and (7) of an edit's maps and its target labels [N,K]."""
        D = self.nets['D']
        return sum(F.softplus(-s).mean() for s in D.scores(maps, b)), self.classification(D.logits(maps), b)     # type: ignore[return-value]


class LabelledStarGAN(Labelled, StarGAN):
    """StarGAN, and what stands on it, with the critic of `local`."""

    def generator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, x, a, b = self.config, batch.image, batch.labels, batch.target
        y = kept['edit'] if 'edit' in kept else self.generate(x, a, b)
        again = c.reconstruct == 'cycle'
        x_rec = self.generate(y, b, a) if again else self.generate(x, a, a)
        maps = self.nets['D'].features(y)
        loss_adv, loss_cls = self.judged(maps, b)
        loss_rec = l1_mean(x, x_rec)
        return Step(c.lambda_adv * loss_adv + c.lambda_cls * loss_cls + c.lambda_rec * loss_rec,
                    {'adv': loss_adv.detach(), 'cls': loss_cls.detach(), 'rec': loss_rec.detach()}, {'input': x, 'edit': y.detach()},
                    parts={'edit': y, 'maps': maps, 'cycle' if again else 'reconstruction': x_rec})


class LabelledAGGANMulti(Labelled, AGGANMulti):
    """AGGAN-multi with the critic of `local`."""

    def generator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, x, a, b = self.config, batch.image, batch.labels, batch.target
        y, mask = (kept['edit'], kept['mask']) if 'edit' in kept else self.generate(x, a, b)
        loss_adv, loss_cls = self.judged(self.nets['D'].features(y), b)
        loss_rec = l1_mean(x, self.generate(y, b, a)[0])
        loss = c.lambda_adv * loss_adv + c.lambda_cls * loss_cls + c.lambda_rec * loss_rec
        loss = loss + c.lambda_area * mask.mean() + c.lambda_binary * (mask * (1 - mask)).mean()
        return Step(loss, {'adv': loss_adv.detach(), 'cls': loss_cls.detach(), 'rec': loss_rec.detach(), **mask_logs(mask)},
                    {'input': x, 'mask': mask.detach(), 'edit': y.detach()})


@contextmanager
def labelled() -> Iterator[None]:
    """Within, StarGAN and AGGAN-multi are built and loaded in these forms, also inside CAM and SeCGAN."""
    with (patch.dict(METHODS, stargan=LabelledStarGAN, aggan_multi=LabelledAGGANMulti),
          patch.dict(cam.BACKBONES, stargan=LabelledStarGAN), patch.dict(secgan.BACKBONES, stargan=LabelledStarGAN)):
        yield
