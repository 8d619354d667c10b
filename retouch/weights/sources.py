"""Where published weights come from: a row a repository, by the id of the method that runs them."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from retouch.weights import domains, faces
from retouch.weights.plan import Asked, Plan
from retouch.weights.reading import Checkpoint

# Training set -> its terms, as its keepers state them: mmlab.ie.cuhk.edu.hk/projects/CelebA.html, rafd.socsci.ru.nl/FAQ.html
TERMS = {'CelebA': 'non-commercial research only', 'CelebA-HQ': 'non-commercial research only',
         'RaFD': 'strictly scientific use, none other'}


@dataclass(frozen=True)
class Source:
    """One repository: its code at `commit` was read for the names and order of tensors, and not taken."""

    repository: str
    commit: str
    licence: str
    files: str                               # as its authors name them
    plan: Callable[[Sequence[Checkpoint], Asked], Plan]
    most: int = 2                            # files

    @property
    def non_commercial(self) -> bool:
        """Whether its licence excludes commercial use."""
        return 'NC' in self.licence


NC = 'CC BY-NC-SA 4.0'
ZHU, TANG = 'junyanz/pytorch-CycleGAN-and-pix2pix', 'Ha0Tang/AttentionGAN'
SOURCES: dict[str, Source] = {
    'stargan': Source('yunjey/stargan', '94dd002', 'MIT', 'N-G.ckpt [N-D.ckpt]', faces.stargan_plan),
    'aggan_multi': Source(f'{TANG} (AttentionGAN-v1-multi)', '45da496', NC, 'N-G.ckpt [N-D.ckpt]', faces.aggan_multi_plan),
    'attentiongan': Source(TANG, '45da496', NC, 'latest_net_G_A.pth [latest_net_G_B.pth]', domains.attentiongan_plan),
    'aggan': Source(f'{TANG} (AttentionGAN-v1)', '45da496', NC, 'netG_A2B.pth [netG_B2A.pth]', domains.aggan_plan),
    'cyclegan': Source(ZHU, '48ced5e', 'BSD-2-Clause', 'latest_net_G.pth, or latest_net_G_A.pth latest_net_G_B.pth', domains.cyclegan_plan),
    'pix2pix': Source(ZHU, '032e884', 'BSD-2-Clause', 'latest_net_G.pth', domains.pix2pix_plan, 1),
    'attgan': Source('elvisyjlin/AttGAN-PyTorch', 'be2d6c6', 'MIT', 'weights.N.pth, with setting.txt', faces.attgan_plan, 1),
    'stgan': Source('bluestyle97/STGAN-pytorch', '1136a5d', 'none stated', 'G_N.pth.tar [D_N.pth.tar]', faces.stgan_plan),
    'munit': Source('NVlabs/MUNIT', 'a82e222', NC, 'gen_N.pt', domains.munit_plan, 1),
    'drit': Source('HsinYingLee/DRIT', 'f19f50a', 'none stated', 'N.pth', domains.drit_plan, 1),
    'asgit': Source('voidstrike/ASGIT', '235f922', 'MIT', 'N_net_G_A.pth [N_net_G_B.pth]', domains.asgit_plan),
    'asgit_pairs': Source('voidstrike/ASGIT', '235f922', 'MIT', 'N_net_G.pth N_net_SC.pth', domains.asgit_pairs_plan),
}
