"""Authors' own networks beside the weights imported from them: the table of docs/import.md and tests/fixtures/published_weights.json.

    python benchmarks/published.py FOLDER [SOURCE …] [--small]

FOLDER holds the authors' repositories, one a folder named OWNER+NAME, at the commits of `retouch.weights.sources`: their code is run from
there and no line of it is here. At the published size it prints differences; with --small it writes the fixture: names and shapes at both
sizes, and what the small networks answer.
"""
from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from retouch.data.batches import Moment  # noqa: E402
from retouch.engine.update import AttributeRequest, DomainRequest  # noqa: E402
from retouch.model import load_model  # noqa: E402
from retouch.weights.importing import import_weights  # noqa: E402
from retouch.weights.plan import Asked  # noqa: E402
from retouch.weights.sources import SOURCES  # noqa: E402
from tests.published import FIXTURE, SETTING, fill, holds_of, picture  # noqa: E402

LABELS = {'stargan': 5, 'aggan_multi': 8, 'attgan': 13, 'stgan': 10}
TANG = 'Ha0Tang+AttentionGAN'
BOTH = 'latest_net_G_A.pth', 'latest_net_G_B.pth'
NAMES = {'stargan': ('200000-G.ckpt', '200000-D.ckpt'), 'aggan_multi': ('200000-G.ckpt', '200000-D.ckpt'), 'attgan': ('weights.149.pth',),
         'stgan': ('G_100000.pth.tar', 'D_100000.pth.tar'), 'munit': ('gen_01000000.pt',), 'drit': ('01199.pth',),
         'aggan': ('netG_A2B.pth', 'netG_B2A.pth'), 'pix2pix': ('latest_net_G.pth',),
         'asgit_pairs': ('latest_net_G.pth', 'latest_net_SC.pth')}


def run_file(folder: Path, name: str, change: Callable[[str], str] = str) -> Any:
    """One of the authors' files as a module; torchsummary, which two of them import to print, is empty."""
    path = folder / name
    sys.modules['torchsummary'] = types.ModuleType('torchsummary')
    sys.modules['torchsummary'].summary = lambda *args, **options: None              # type: ignore[attr-defined]
    for shared in ('nn', 'switchable_norm'):
        sys.modules.pop(shared, None)
    module = types.ModuleType(path.stem)
    sys.path.insert(0, str(path.parent))
    exec(compile(change(path.read_text()), str(path), 'exec'), module.__dict__)
    sys.path.remove(str(path.parent))
    return module


def networks_of(source: str, folder: Path, small: bool) -> tuple[dict[str, Any], int]:
    """The authors' networks under the names of their files, initialised as their code does it, and the side of the pictures."""
    w, side = (8, 64) if small else (64, 256)
    if source in ('stargan', 'aggan_multi'):
        m = run_file(folder, 'yunjey+stargan/model.py' if source == 'stargan' else f'{TANG}/AttentionGAN-v1-multi/model.py')
        return {'G': m.Generator(w, LABELS[source], 6), 'D': m.Discriminator(128, w, LABELS[source], 6)}, 128
    if source == 'attgan':
        m = run_file(folder, 'elvisyjlin+AttGAN-PyTorch/attgan.py')
        return {'G': m.Generator(enc_dim=w, dec_dim=w, shortcut_layers=1, inject_layers=1, n_attrs=13, img_size=128)}, 128
    if source == 'stgan':
        m = run_file(folder, 'bluestyle97+STGAN-pytorch/models/stgan.py')
        return {'G': m.Generator(10, w, 5, 3), 'D': m.Discriminator(128, 10, w, 16 * w, 5)}, 128
    if source == 'aggan':
        m = run_file(folder, f'{TANG}/AttentionGAN-v1/models.py')
        return {name: m.Generator(ngf=w) for name in ('G_A2B', 'G_B2A')}, side
    if source == 'munit':
        m = run_file(folder, 'NVlabs+MUNIT/networks.py')
        options = {'dim': w, 'mlp_dim': 16 if small else 256, 'style_dim': 8, 'activ': 'relu', 'n_downsample': 2, 'n_res': 4,
                   'pad_type': 'reflect'}
        nets = {name: m.AdaINGen(3, options) for name in 'ab'}
        for layer in (layer for net in nets.values() for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)):
            nn.init.kaiming_normal_(layer.weight)                # trainer.py: weights_init('kaiming')
            nn.init.zeros_(layer.bias)
        return nets, 128 if small else 256
    if source == 'drit':                                         # its widths are written out
        m = run_file(folder, 'HsinYingLee+DRIT/src/networks.py',
                     lambda code: re.sub(r'\b256\b', '32', re.sub(r'\b64\b', '8', code)) if small else code)
        e_a = m.E_attr_concat(3, 3, 8, None, m.get_non_linearity('lrelu'))
        nets = {'enc_c': m.E_content(3, 3), 'enc_a': e_a, 'gen': m.G_concat(3, 3, 8)}
        for net in nets.values():
            net.apply(m.gaussian_weights_init)                   # model.py: DRIT.initialize
        return nets, 64 if small else 216
    m = run_file(folder, f'{"voidstrike+ASGIT" if source.startswith("asgit") else TANG}/models/networks.py')
    if source in ('pix2pix', 'asgit_pairs'):
        g = m.define_G(3, 3, 4 if small else 64, 'unet_256', 'batch' if source == 'pix2pix' else 'instance', True)
        return {'G': g, **({'SC': m.define_C('instance')} if source == 'asgit_pairs' else {})}, 256
    kind = 'our' if source == 'attentiongan' else 'resnet_9blocks'
    return {name: m.define_G(3, 3, w, kind, 'instance') for name in ('G_A', 'G_B')}, side


class Draw(nn.Module):
    """In place of dropout: our draw of a level."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 * (Moment().uniform(f'dropout_{self.level}', *x.shape[1:]) < 0.5)


def with_draws(net: Any) -> Any:
    """A U-Net whose dropout layers, which `modules` gives from the outside in, are given our draws."""
    blocks = [m for m in net.modules() if isinstance(m, nn.Sequential) and any(isinstance(layer, nn.Dropout) for layer in m)]
    for level, block in zip(range(len(blocks), 0, -1), blocks, strict=True):
        block[-1] = Draw(level)
    return net


@torch.no_grad()
def answers_of(source: str, nets: dict[str, Any], x: Tensor) -> dict[str, tuple[Any, Tensor]]:
    """What -> what is asked of our model, and what the authors' networks make of it in the state of their test."""
    evaluated = source in ('attgan', 'stgan', 'aggan', 'munit', 'drit')
    for name, net in nets.items():
        net.train(not evaluated or name == 'D')                  # a discriminator never leaves training
    if source in LABELS:
        a = torch.zeros(1, LABELS[source])
        a[0, slice(2, 3) if source == 'aggan_multi' else slice(None, None, 2)] = 1
        b = torch.zeros_like(a) if source == 'aggan_multi' else a.clone()
        b[0, 1] = 1 - a[0, 1]
        told = b - a if source == 'stgan' else b
        if source == 'attgan':                                   # test.py: what changes at test_int, the rest at thres_int
            told = (2 * b - 1) * 0.5 * torch.where(a != b, 2.0, 1.0)
        out, request = nets['G'](x, told), AttributeRequest(x, a, b)
        found = {'edit': (request, out[0].clamp(-1, 1) if source == 'aggan_multi' else out)}
        if source == 'aggan_multi':
            found['mask'] = request, out[1][:, :1]
        if 'D' in nets:
            logits = nets['D'](x)[1]
            found['labels'] = x, logits.softmax(1) if source == 'aggan_multi' else logits.sigmoid()
        return found
    if source in ('pix2pix', 'asgit_pairs'):
        factor = 1 + nets['SC'](torch.ones(1, 1, 32, 32)) if source == 'asgit_pairs' else 1
        return {'to B': (DomainRequest(x, 'B'), with_draws(nets['G'])(x * factor))}
    found = {}
    e, z = x.flip(2).contiguous(), Moment().normal('style', 8)
    for to, (own, other) in {'B': tuple(nets)[:2], 'A': tuple(nets)[1::-1]}.items():
        if source in ('munit', 'drit'):
            for what, exemplar in (('to', None), ('exemplar', e)):
                if source == 'munit':
                    style = z[:, :, None, None] if exemplar is None else nets[other].encode(e)[1]
                    made = nets[other].decode(nets[own].encode(x)[0], style)
                else:
                    here, there = ('a', 'b') if to == 'B' else ('b', 'a')
                    style = z if exemplar is None else getattr(nets['enc_a'], f'forward_{there}')(e)[0]
                    made = getattr(nets['gen'], f'forward_{there}')(getattr(nets['enc_c'], f'forward_{here}')(x), style)
                found[f'{what} {to}'] = DomainRequest(x, to, exemplar), made
            continue
        out = nets[own](x * 1.5 if source == 'asgit' else x)
        found[f'to {to}'] = DomainRequest(x, to), out if isinstance(out, Tensor) else out[0].clamp(-1, 1)
        if source in ('aggan', 'attentiongan'):
            found[f'mask {to}'] = DomainRequest(x, to), out[1][:, :1] if source == 'aggan' else 1 - out[20][:, :1]
    return found


@torch.no_grad()
def compare(source: str, folder: Path, small: bool) -> tuple[dict[str, Any], dict[str, tuple[Any, Tensor]], dict[str, float], int]:
    """The authors' networks, what they answer, our largest differences from that, and the side of the pictures."""
    torch.manual_seed(0)
    nets, size = networks_of(source, folder, small)
    for i, net in enumerate(nets.values()):
        if small:
            state = net.state_dict()
            net.load_state_dict(fill(list(state), [tuple(value.shape) for value in state.values()], 100 * i))
        elif source in ('attgan', 'stgan', 'aggan', 'stargan', 'aggan_multi'):       # running averages other than those of the start
            for _ in range(3):
                noise = torch.randn(2, 3, size, size)
                net(noise, torch.randint(0, 2, (2, LABELS[source])).float()) if 'Generator' in type(net).__name__ and source in LABELS \
                    else net(noise)
    names = NAMES.get(source, BOTH)
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / 'setting.txt').write_text(json.dumps(SETTING))
        files = [Path(place) / name for name in names]
        for path, holds in zip(files, holds_of(source, {name: net.state_dict() for name, net in nets.items()}), strict=True):
            torch.save(holds, path)
        import_weights(source, files, Path(place) / 'model', Asked(size=None if source in ('pix2pix', 'asgit_pairs') else size))
        method: Any = load_model(Path(place) / 'model').method
    x = picture(size) if small else torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    theirs, differences = answers_of(source, nets, x), {}
    for what, (request, answer) in theirs.items():
        if what == 'labels':
            ours = method.read(request)
        else:
            translation = method.translate(request)
            ours = translation.mask if what.startswith('mask') else translation.image
        differences[what] = (ours - answer).abs().max().item()
    return nets, theirs, differences, size


def lines_of(large: dict[str, Tensor], small: dict[str, Tensor]) -> list[str]:
    """A line a tensor: its name and both shapes."""
    def text(value: Tensor) -> str:
        return 'x'.join(map(str, value.shape)) or '-'
    return [f'{name} {text(large[name])} {text(value)}' for name, value in small.items()]


def some_of(answer: Tensor) -> list[float]:
    """Eight values, evenly spaced."""
    at = torch.linspace(0, answer.numel() - 1, min(8, answer.numel())).long()
    return [round(value, 7) for value in answer.flatten()[at].tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('sources', nargs='*', default=list(SOURCES))
    parser.add_argument('--small', action='store_true')
    asked = parser.parse_args()
    torch.set_num_threads(1)
    fixture = json.loads(FIXTURE.read_text()) if FIXTURE.exists() else {}
    for source in asked.sources:
        nets, theirs, differences, size = compare(source, asked.folder, asked.small)
        parameters = sum(p.numel() for net in nets.values() for p in net.parameters())
        print(f'{source:<14}{size:>4} px {parameters:>12,}  ' + '  '.join(f'{what} {d:.1e}' for what, d in differences.items()), flush=True)
        if asked.small:
            large, large_px = networks_of(source, asked.folder, False)
            fixture[source] = {'networks': {name: lines_of(large[name].state_dict(), net.state_dict()) for name, net in nets.items()},
                               'published_size': large_px, 'size': size, 'files': list(NAMES.get(source, BOTH)),
                               'output': {what: some_of(answer) for what, (_, answer) in theirs.items()}}
            FIXTURE.write_text(json.dumps(fixture, separators=(',', ':')).replace('],"', '],\n"').replace('},"', '},\n"') + '\n')


if __name__ == '__main__':
    main()
