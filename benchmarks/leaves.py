"""The leaf editor measured through the Editor at the photographs' own size, and what its edits are worth to a classifier.

    python benchmarks/leaves.py score MODEL --data FOLDER --judge RUN        two judges, masks, ground, Frechet distances, and how
                                                                            much of a leaf changes, and in its mean; -> leaves.json
    python benchmarks/leaves.py few MODEL --data FOLDER                      a classifier from few ill leaves, without and with edited ones

FOLDER is train/<class>/ and test/<class>/ of PlantVillage's apple leaves on black; RUN is a classifier of the same training part. The
second judge, a ResNet-18 that starts from nothing, is trained here on the same photographs and never sees an edit. `few`: so many
photographs of the last class and plenty of healthy ones, against the same with as many edits of the healthy ones added as make the classes
equal; the editor itself has seen all training photographs of that class, so this asks what a finished editor adds, not what few photographs
can do.
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.models import resnet18

from retouch.data.transforms import to_float
from retouch.editor import Editor
from retouch.files import write_atomically
from retouch.hardware import hardware
from retouch.metrics.fidelity import features_to_fidelity
from retouch.model import load_model
from retouch.networks.classifier import Classifier

RESULTS = Path(__file__).parent / 'results'
SIDE, GROUND, REFERENCE = 96, 16, 240
VISIBLE = 13                                                     # levels; what changes by more is counted as changed


def open_side(picture: Path | Image.Image | np.ndarray, side: int) -> np.ndarray:
    """uint8 [side,side,3]."""
    picture = Image.open(picture) if isinstance(picture, Path) else Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    return np.asarray(picture.convert('RGB').resize((side, side), Image.Resampling.BILINEAR))


def stack(pictures: list[Any], side: int) -> Tensor:
    """Pictures of any kind -> [N,3,side,side] in [-1,1]."""
    return to_float(torch.from_numpy(np.stack([open_side(p, side) for p in pictures])))


def fit(net: nn.Module, x: Tensor, y: Tensor, steps: int, seed: int, lr: float = 1e-3) -> nn.Module:
    """Trains a classifier on [N,3,S,S] and classes [N], every class as often, turned and mirrored by chance, rates falling to 0."""
    generator = torch.Generator().manual_seed(seed)
    weight = 1 / torch.bincount(y)[y].float()
    adam = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=1e-4)
    net.train()
    for step in range(steps):
        for group in adam.param_groups:
            group['lr'] = lr * (1 - step / steps)
        rows = torch.multinomial(weight, 32, replacement=True, generator=generator)
        batch = x[rows]
        turns, mirror = torch.randint(4, (32,), generator=generator).tolist(), torch.rand(32, generator=generator) < 0.5
        batch = torch.stack([torch.rot90(v.flip(-1) if m else v, t, (1, 2)) for v, t, m in zip(batch, turns, mirror, strict=True)])
        batch = (batch + 1) * (0.8 + 0.4 * torch.rand(32, 1, 1, 1, generator=generator)) - 1
        adam.zero_grad()
        F.cross_entropy(net(batch), y[rows]).backward()
        adam.step()
    return net.eval()


@torch.no_grad()
def read(net: nn.Module, x: Tensor) -> Tensor:
    """Classes [N]."""
    return torch.cat([net(part).argmax(1) for part in x.split(64)])


def files_of(root: Path, part: str, names: tuple[str, ...]) -> dict[str, list[Path]]:
    return {name: sorted((root / part / name).iterdir()) for name in names}


def score(editor: Editor, data: Path, judge_at: str, steps: int) -> dict[str, Any]:
    """Every held-out photograph asked for every other class."""
    names = editor.method.data.attributes
    train, test = files_of(data, 'train', names), files_of(data, 'test', names)
    judge = load_model(judge_at).method
    columns = [judge.data.attributes.index(name) for name in names]
    torch.manual_seed(0)
    second = resnet18(num_classes=len(names))
    shown = stack([p for name in names for p in train[name]], SIDE)
    fit(second, shown, torch.tensor([k for k, name in enumerate(names) for _ in train[name]]), steps, 0)

    def first_judge(pictures: list[Any]) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            parts = stack(pictures, judge.data.size).split(64)
            f = torch.cat([judge.nets['C'].features(part) for part in parts])
            return judge.nets['C'].head(f)[:, columns].argmax(1), f

    right = {name: {'judge': float((first_judge(list(test[name]))[0] == k).float().mean()),
                    'second judge': float((read(second, stack(list(test[name]), SIDE)) == k).float().mean()), 'n': len(test[name])}
             for k, name in enumerate(names)}
    real = {name: first_judge(list(train[name][:REFERENCE]))[1] for name in names}
    pairs: dict[str, Any] = {}
    for source in names:
        before = first_judge(list(test[source]))[1]
        for k, target in enumerate(names):
            if target == source:
                continue
            edits, masks, kept, own, touched, same, shift = [], [], [], [], [], [], []
            for file in test[source]:
                x = np.asarray(Image.open(file).convert('RGB'))
                edit = editor.edit(file, source={source: 1}, **{target: 1})
                y = np.asarray(edit.image)
                ground = x.max(2) < GROUND
                edits.append(y)
                masks.append(edit.mask.mean() / 255)
                kept.append((x == y).all(2)[ground].mean() if ground.any() else 1.0)
                change = np.abs(y.astype(int) - x)[~ground]
                touched.append((change.max(1) > VISIBLE).mean())
                same.append((change.max(1) == 0).mean())
                shift.append(y[~ground].mean(0) - x[~ground].mean(0))
                own.append((x == y).all(2)[x.max(2) == 0].mean() if (x.max(2) == 0).any() else 1.0)
            seen, f = first_judge(edits)
            pairs[f'{source} to {target}'] = {
                'n': len(edits), 'accuracy': float((seen == k).float().mean()),
                'accuracy by the second judge': float((read(second, stack(edits, SIDE)) == k).float().mean()),
                'mean mask': float(np.mean(masks)), 'leaf changed': float(np.mean(touched)),
                'leaf identical': float(np.mean(same)),
                'shift of red, green, blue, levels': [round(float(v), 2) for v in np.mean(shift, 0)],
                'ground kept': float(np.mean(kept)), 'pure black kept': float(np.mean(own)),
                "frechet of the copy's": frechet(f, real[target]) / frechet(before, real[target])}
    return {'right on held-out photographs': right, 'pairs': pairs, 'hardware': hardware(),
            'second judge': f'ResNet-18, {SIDE} px, {steps} steps'}


def frechet(a: Tensor, b: Tensor) -> float:
    return float(features_to_fidelity(a, b, ('fid',))['fid'])


def few(editor: Editor, data: Path, count: int, healthy: int, seeds: int, steps: int) -> dict[str, Any]:
    """Balanced held-out accuracy of a small classifier, without and with edits of its healthy leaves."""
    ill = editor.method.data.attributes[-1]
    names = ('healthy', ill)
    train, test = files_of(data, 'train', names), files_of(data, 'test', names)
    x_test = stack([p for name in names for p in test[name]], SIDE)
    y_test = torch.tensor([k for k, name in enumerate(names) for _ in test[name]])
    rows = []
    for seed in range(seeds):
        chosen = np.random.default_rng(seed)
        well = [train['healthy'][i] for i in chosen.permutation(len(train['healthy']))[:healthy]]
        sick = [train[ill][i] for i in chosen.permutation(len(train[ill]))[:count]]
        edits = [np.asarray(editor.edit(p, source={'healthy': 1}, **{ill: 1}).image) for p in well[:healthy - count]]
        found = {}
        for name, added in (('without', []), ('with', edits)):
            pictures = [*well, *sick, *added]
            y = torch.tensor([0] * len(well) + [1] * (len(pictures) - len(well)))
            torch.manual_seed(seed)
            net = fit(Classifier(2, SIDE, 8, 32), stack(pictures, SIDE), y, steps, seed)
            answer = read(net, x_test)
            found[name] = {of: float((answer[y_test == k] == k).float().mean()) for k, of in enumerate(names)}
        rows.append({'seed': seed, **found})
        print(json.dumps(rows[-1]), flush=True)
    return {'class': ill, 'photographs of it': count, 'healthy': healthy, 'steps': steps, 'rows': rows,
            'held out': {name: len(test[name]) for name in names}}


def main() -> None:
    """Measures and writes results/leaves.json or results/leaves_few.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=('score', 'few'))
    parser.add_argument('model')
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--judge')
    parser.add_argument('--steps', type=int, default=300)
    parser.add_argument('--count', type=int, default=12)
    parser.add_argument('--healthy', type=int, default=200)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--out', type=Path)
    options = parser.parse_args()
    if options.what == 'score' and not options.judge:
        parser.error('score needs a classifier: give --judge RUN')
    editor = Editor.load(options.model, 'cpu')
    if options.what == 'score':
        found = score(editor, options.data, options.judge, options.steps)
    else:
        found = few(editor, options.data, options.count, options.healthy, options.seeds, options.steps)
    out = options.out or RESULTS / {'score': 'leaves.json', 'few': 'leaves_few.json'}[options.what]
    write_atomically(out, (json.dumps(found, indent=1) + '\n').encode())
    print(json.dumps(found, indent=1))


if __name__ == '__main__':
    main()
