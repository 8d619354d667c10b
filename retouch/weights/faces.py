"""Published weights that edit attributes of faces. Names and orders are those of the repositories in `sources`, read and not taken."""
from __future__ import annotations

import json
import re
from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import Any

from retouch.data.batches import DataSpec
from retouch.data.frame import Frame
from retouch.methods import aggan_multi, attgan, stargan, stgan
from retouch.weights.plan import NO_D, Asked, Plan, labels_of, maker_and_judge, part_of, size_of
from retouch.weights.reading import Checkpoint

FIVE = ('Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Male', 'Young')
EXPRESSIONS = ('angry', 'contemptuous', 'disgusted', 'fearful', 'happy', 'neutral', 'sad', 'surprised')       # RaFD's folders
TEN = ('Bangs', 'Blond_Hair', 'Brown_Hair', 'Bushy_Eyebrows', 'Eyeglasses', 'Male', 'Mouth_Slightly_Open', 'Mustache', 'Pale_Skin', 'Young')
CELEBA_PX = (178, 218)           # width and height of its aligned pictures
CROP_178, CROP_170 = Frame(crop=178, crop_of=CELEBA_PX), Frame(crop=170, crop_of=CELEBA_PX)


def _star(files: Sequence[Checkpoint], asked: Asked, config: Any, channels: int) -> Plan:
    """StarGAN's two networks, the generator making `channels`: a mask's logit before the colours, or the colours alone."""
    g, d = maker_and_judge(files, 'conv2.weight', ('main',), ('main', 'conv1', 'conv2'), 'G', 'D', 'state_dict')
    width, inputs = g.shape('main.0.weight')[:2]
    names = labels_of(inputs - 3, asked.attributes, {5: FIVE, 8: EXPRESSIONS}, str(g.path))
    made = g.shape(f'main.{max(int(key.split(".")[1]) for key in g.tensors if re.fullmatch(r"main[.][0-9]+[.]weight", key))}.weight')[0]
    if made != channels:
        source = 'stargan' if made == 3 else 'aggan_multi'
        raise ValueError(f'{g.path} makes {made} channels, expected {channels}: {source} is the source of such a file')
    size, parts, width_d = size_of(asked, 128), {'G': g}, NO_D
    if d is not None:
        labels, _, side = d.shape('conv2.weight')[:3]
        if labels != len(names):
            raise ValueError(f'{d.path} reads {labels} labels, {g.path} takes {len(names)}: expected the two files of one training, of one '
                             'data set')
        depth = sum(bool(re.fullmatch(r'main[.][0-9]+[.]weight', key)) for key in d.tensors)
        size, parts, width_d = size_of(asked, 0, d, side * 2 ** depth), {'G': g, 'D': d}, d.shape('main.0.weight')[0]
    expressions = names == EXPRESSIONS
    config = config(labels='single' if asked.exclusive or expressions else 'multi', width_g=width, width_d=width_d, label_rule='stargan',
                    blocks=sum(key.endswith('.main.0.weight') for key in g.tensors))
    frame = Frame() if expressions else CROP_178
    return Plan(config, DataSpec(size=size, attributes=names, frame=frame), parts, 'RaFD' if expressions else 'CelebA')


def stargan_plan(files: Sequence[Checkpoint], asked: Asked) -> Plan:
    """Without a mask."""
    return _star(files, asked, stargan.Config, 3)


def aggan_multi_plan(files: Sequence[Checkpoint], asked: Asked) -> Plan:
    """With one."""
    return _star(files, asked, aggan_multi.Config, 4)


def attgan_plan(files: Sequence[Checkpoint], asked: Asked) -> Plan:
    """G alone as the authors save it; of `AttGAN.save` D too. setting.txt lies beside the checkpoint's folder."""
    one = files[0]
    folder = one.path.absolute().parent
    places = [asked.setting] if asked.setting else [folder / 'setting.txt', folder.parent / 'setting.txt']
    setting = next((_setting(place) for place in places if asked.setting or place.is_file()), {})
    g = part_of(one, ('enc_layers', 'dec_layers', 'layers'), 'G', running=True)
    layers, width = g.count('enc_layers.'), g.shape('enc_layers.0.layers.0.weight')[0]
    count = g.shape('dec_layers.0.layers.0.weight')[0] - g.shape(f'enc_layers.{layers - 1}.layers.0.weight')[0]
    where = str(one.path) if setting else f'{one.path}, without a setting.txt,'
    names = labels_of(count, asked.attributes or tuple(setting.get('attrs', ())), {}, where)
    shortcut = inject = 0
    for i in range(1, layers):                                   # what is joined to a level is what it takes more than the last one gave
        before, takes = g.shape(f'dec_layers.{i - 1}.layers.0.weight')[1], g.shape(f'dec_layers.{i}.layers.0.weight')[0]
        half = max(1, before // 2)
        shortcut += takes - before >= half
        inject += (takes - before) % half == count
    parts, width_d = {'G': g}, NO_D
    if isinstance(one.holds, dict) and 'D' in one.holds:
        parts['D'] = d = part_of(one, ('conv', 'fc_adv', 'fc_cls', 'layers', 'fc'), 'D')
        width_d = d.shape('conv.0.layers.0.weight')[0]
    config = attgan.Config(width_g=width, width_d=width_d, layers=layers, shortcut=shortcut, inject=inject,
                           thres_int=setting.get('thres_int', 0.5), test_int=setting.get('test_int', 1.0))
    hq = setting.get('data') == 'CelebA-HQ'
    spec = DataSpec(size=size_of(asked, setting.get('img_size', 128)), attributes=names, frame=Frame() if hq else CROP_170)
    return Plan(config, spec, parts, 'CelebA-HQ' if hq else 'CelebA')


def _setting(path: Path) -> dict[str, Any]:
    """What of setting.txt the network depends on. ValueError where it cannot be read or says what is not supported."""
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        attrs, numbers = found.get('attrs', []), [found.get(key, 1) for key in ('img_size', 'thres_int', 'test_int')]
        if not (isinstance(attrs, list) and all(isinstance(name, str) for name in attrs) and isinstance(numbers[0], int)
                and all(isinstance(number, int | float) and number > 0 for number in numbers)):
            raise ValueError
    except (AttributeError, OSError, ValueError, RecursionError):
        raise ValueError(f'{path} cannot be read: expected the JSON that training wrote, with attrs, img_size, thres_int') from None
    usual = {'enc_norm': 'batchnorm', 'dec_norm': 'batchnorm', 'enc_acti': 'lrelu', 'dec_acti': 'relu', 'dis_norm': 'instancenorm'}
    for key, value in usual.items():
        if found.get(key, value) != value:
            raise ValueError(f'{path}: {key}={found[key]}: expected {value}, the published form')
    return dict(found)


def stgan_plan(files: Sequence[Checkpoint], asked: Asked) -> Plan:
    """Told differences; `test` shows whole ones."""
    g, d = maker_and_judge(files, 'fc_att.0.weight', ('encoder', 'stu', 'decoder', 'upsample', 'reset_gate', 'update_gate', 'hidden'),
                           ('conv', 'fc_adv', 'fc_att'), 'state_dict', running=True)
    layers, width = g.count('encoder.'), g.shape('encoder.0.0.weight')[0]
    count = g.shape('decoder.0.0.weight')[0] - g.shape(f'encoder.{layers - 1}.0.weight')[0]
    names = labels_of(count, asked.attributes, {10: TEN}, str(g.path))
    size, parts, width_d = size_of(asked, 128), {'G': g}, NO_D
    if d is not None:
        depth = d.count('conv.')
        side = isqrt(d.shape('fc_adv.0.weight')[1] // d.shape(f'conv.{depth - 1}.0.weight')[0])
        size, parts, width_d = size_of(asked, 0, d, side * 2 ** depth), {'G': g, 'D': d}, d.shape('conv.0.0.weight')[0]
    config = stgan.Config(width_g=width, width_d=width_d, layers=layers, shortcut=g.count('stu.'), label_rule='stargan')
    return Plan(config, DataSpec(size=size, attributes=names, frame=CROP_178), parts, 'CelebA')
