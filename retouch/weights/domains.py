"""Published weights that translate between two domains. Names and orders are those of the repositories in `sources`, read and not taken."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retouch.data.batches import DataSpec
from retouch.data.frame import Frame
from retouch.data.sets import SQUASHED
from retouch.methods import aggan, asgit, attentiongan, cyclegan, drit, munit, pix2pix
from retouch.weights.mapping import Part
from retouch.weights.plan import NO_D, Asked, Plan, domains_of, part_of, size_of_pair
from retouch.weights.reading import Checkpoint

KEYS = 'state_dict', 'G'         # under which a network may lie


def _both_ways(files: Sequence[Checkpoint], names: tuple[str, ...], running: bool = False) -> dict[str, Part]:
    """G and F of one file a direction, told by names that end in _A and _B, or A2B and B2A, and else by their order."""
    if len(files) == 2 and files[0].path.stem.endswith(('_B', 'B2A')) and files[1].path.stem.endswith(('_A', 'A2B')):
        files = files[::-1]
    return {net: part_of(file, names, *KEYS, running=running) for net, file in zip('GF', files, strict=False)}


def _translator(config: Any, parts: dict[str, Part], asked: Asked) -> Plan:
    """At 256 px, the picture squashed whole; of a file alone there is no way back."""
    one_way = len(parts) == 1
    return Plan(config, DataSpec(size=asked.size or 256, domains=domains_of(asked), one_way=one_way, frame=SQUASHED), parts)


def _blocks(part: Part) -> int:
    return len({key.split('.')[1] for key in part.tensors if '.conv_block.' in key})


def _resnet(part: Part) -> tuple[int, int, int]:
    """Input channels, width and blocks of CycleGAN's generator. ValueError for the forms with dropout and with batch norm."""
    width, channels = part.shape('model.1.weight')[:2]
    if any('.conv_block.6.' in key for key in part.tensors):
        raise ValueError(f'{part.path} was trained with dropout in its blocks: expected --no_dropout, as the authors publish theirs')
    if 'model.1.bias' not in part.tensors:
        raise ValueError(f'{part.path} was trained with batch norm: expected --norm instance, as the authors publish theirs')
    return channels, width, _blocks(part)


def cyclegan_plan(files: Sequence[Checkpoint], asked: Asked) -> Plan:
    """One direction a file."""
    parts = _both_ways(files, ('model', 'conv_block'))
    _, width, blocks = _resnet(parts['G'])
    return _translator(cyclegan.Config(width_g=width, blocks=blocks, width_d=NO_D, pool=0), parts, asked)


def asgit_plan(files: Sequence[Checkpoint], asked: Asked) -> Plan:
    """`attn_cycle_gan`: no transfer block; at test time a factor of 1.5 (three channels) or a map of ones (a fourth channel)."""
    parts = _both_ways(files, ('model', 'conv_block'))
    channels, width, blocks = _resnet(parts['G'])
    alpha = channels == 4
    config = asgit.Config(fusion='alpha' if alpha else 'rhp', inference_attention='ones' if alpha else 'constant', transfer='identity',
                          width_g=width, blocks=blocks, width_d=NO_D, pool=0)
    return _translator(config, parts, asked)


def _unet(part: Part) -> tuple[int, bool, int]:
    """Width, whether there is batch norm, and the size of the pictures of a U-Net, which halves them to one pixel."""
    width, levels = part.shape('model.model.0.weight')[0], sum(tensor.ndim == 4 for tensor in part.tensors.values()) // 2
    return width, any(key.endswith('running_mean') for key in part.tensors), 2 ** levels


def pix2pix_plan(files: Sequence[Checkpoint], asked: Asked) -> Plan:
    """Batch norm by each picture's own statistics and dropout at test time, as the authors' test has it: running averages are left over."""
    g = part_of(files[0], ('model',), *KEYS)
    width, batch, size = _unet(g)
    config = pix2pix.Config(norm='batch' if batch else 'instance', width_g=width, width_d=NO_D)
    return Plan(config, DataSpec(size=size_of_pair(size, asked, g.path), domains=domains_of(asked), frame=SQUASHED), {'G': g})


def asgit_pairs_plan(files: Sequence[Checkpoint], asked: Asked) -> Plan:
    """`pix2pix_attn`: the U-Net, netG, and the transfer block, netSC, which is the smaller one."""
    if len(files) != 2:
        raise ValueError(f'{files[0].path} alone: expected two files, *_net_G.pth and *_net_SC.pth, which carries the attention')
    g, t = sorted((part_of(file, ('model',), *KEYS) for file in files), key=lambda part: len(part.tensors), reverse=True)
    width, batch, size = _unet(g)
    if batch:
        raise ValueError(f'{g.path} was trained with batch norm: expected --norm instance, as the authors have it')
    config = asgit.PairsConfig(width_g=width, width_t=t.shape('model.0.weight')[1], width_d=NO_D, bypass_ones=False)
    return Plan(config, DataSpec(size=size_of_pair(size, asked, g.path), domains=domains_of(asked), frame=SQUASHED), {'G': g, 'T': t})


def attentiongan_plan(files: Sequence[Checkpoint], asked: Asked) -> Plan:
    """Version 2."""
    layers = ('conv1', 'conv2', 'conv3', 'resnet_blocks', *(f'deconv{i}_{of}' for of in ('content', 'attention') for i in (1, 2, 3)))
    norms = ('conv1_norm', 'conv2_norm', 'conv3_norm', *(f'deconv{i}_norm_{of}' for of in ('content', 'attention') for i in (1, 2)))
    parts = _both_ways(files, (*layers, *norms))
    g = parts['G']
    config = attentiongan.Config(contents=g.shape('deconv3_attention.weight')[0] - 1, width_g=g.shape('conv1.weight')[0],
                                 blocks=g.count('resnet_blocks.'), width_d=NO_D, pool=0)
    return _translator(config, parts, asked)


def aggan_plan(files: Sequence[Checkpoint], asked: Asked) -> Plan:
    """AttentionGAN v1: batch norm by running averages, its test being in eval mode."""
    parts = _both_ways(files, ('model', 'conv_block'), running=True)
    config = aggan.Config(use_attention_discriminator=False, upsample='pixelshuffle', tv_channels=3,
                          width_g=parts['G'].shape('model.1.weight')[0], blocks=_blocks(parts['G']), width_d=NO_D, pool=0)
    return _translator(config, parts, asked)


def munit_plan(files: Sequence[Checkpoint], asked: Asked) -> Plan:
    """Both auto-encoders of one file. The authors bring the shorter side to 256 px and show all of the picture."""
    names = ('enc_content', 'enc_style', 'mlp', 'dec', 'model', 'conv', 'fc', 'norm')
    parts = {f'G_{domain.upper()}': part_of(files[0], names, domain) for domain in 'ab'}
    g = parts['G_A']
    width_mlp, style_dim = g.shape('mlp.model.0.fc.weight')
    config = munit.Config(width_g=g.shape('enc_content.model.0.conv.weight')[0], blocks=g.count('dec.model.0.model.'),
                          style_dim=style_dim, width_mlp=width_mlp, width_d=NO_D)
    return Plan(config, DataSpec(size=asked.size or 256, domains=domains_of(asked), frame=Frame()), parts)


def drit_plan(files: Sequence[Checkpoint], asked: Asked) -> Plan:
    """`--concat 1`. The authors show 216 px from the middle of the whole picture squashed to 256."""
    names = ('convA', 'convB', 'conv_share', 'conv_A', 'conv_B', 'fc_A', 'fc_B', 'fcVar_A', 'fcVar_B', 'dec_share',
             *(f'dec{domain}{i}' for domain in 'AB' for i in (1, 2, 3, 4)), 'model', 'conv', 'shortcut')
    parts = {net: part_of(files[0], names, key) for net, key in (('E_c', 'enc_c'), ('E_a', 'enc_a'), ('G', 'gen'))}
    if 'mlpA.0.weight' in parts['G'].tensors:
        raise ValueError(f'{files[0].path} was trained with --concat 0 (features scaled and shifted): expected --concat 1, the default, '
                         'which is the system here')
    config = drit.Config(width_g=parts['E_c'].shape('convA.0.model.1.weight')[0], blocks=parts['G'].count('decA1.'),
                         width_a=parts['E_a'].shape('conv_A.1.weight')[0], style_dim=parts['E_a'].shape('fc_A.0.weight')[0], width_d=NO_D)
    frame = Frame(stretch=True, share=216 / 256, resample='bicubic')
    return Plan(config, DataSpec(size=asked.size or 216, domains=domains_of(asked), frame=frame), parts)
