"""What systems show of themselves in a report: attention, content, parses, what was switched off, masks against training time."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from retouch import toyfaces
from retouch.cli.main import main
from retouch.data.batches import DataSpec
from retouch.engine.update import DomainRequest
from retouch.evaluation.asked import asked_in
from retouch.evaluation.card import Card, CardData, Checkpoint
from retouch.methods.aggan import AGGAN
from retouch.methods.asgit import ASGIT
from retouch.methods.secgan import SeCGAN
from retouch.model import Model
from retouch.report.gallery import GalleryRow, extras_to_panels, gallery_of, kept_to_rows
from tests.unit.test_splits import saved
from tests.unit.test_study import Shift


def test_what_else_a_system_shows() -> None:
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    method = ASGIT.tiny()
    assert set(extras_to_panels(method.translate(DomainRequest(x, 'B')).extras, 1)) == {'attention'}
    seeing = ASGIT(method.config.model_copy(update={'inference_attention': 'discriminator'}), method.data)
    panels = extras_to_panels(seeing.translate(DomainRequest(x, 'B')).extras, 1)
    assert set(panels) == {'attention', "discriminator's map"} and panels["discriminator's map"].shape == (16, 16)
    assert panels["discriminator's map"].max() > panels["discriminator's map"].min()
    content = extras_to_panels(AGGAN.tiny().translate(DomainRequest(x, 'B')).extras, 0)
    assert set(content) == {'content'} and content['content'].shape == (16, 16, 3)
    parse = torch.zeros(1, 12, 4, 4)
    parse[0, 3] = 1
    assert (extras_to_panels({'semantic': parse}, 0)['edited parse'] == np.array(toyfaces.PALETTE[3], np.uint8)).all()
    assert SeCGAN.tiny(keep_semantic=True).config.keep_semantic


def test_what_the_cam_paper_switches_off_is_shown() -> None:
    names = ('Black_Hair', 'Male')
    data = CardData(source='mine', hash='ab', size=4, attributes=names)
    card = Card(protocol='folder', data=data, n=2, seed=0, checkpoint=Checkpoint(rule='last'), hardware='', versions={}, measures={},
                paper='cam')
    assert asked_in(card) == (names, True) and asked_in(card.model_copy(update={'paper': None})) == (names, False)
    method = Shift(1, attributes=names)
    pictures = np.zeros((2, 4, 4, 3), np.uint8), np.array([[1, 0], [0, 1]])
    shown: Any = Model(method, Path(), 'ab')                                             # type: ignore[arg-type]
    titles = [row.title for row in gallery_of(shown, 'folder', 2, 0, pictures, *asked_in(card))]
    assert 'picture 1: Black_Hair=0' in titles and len(titles) == 4
    assert 'picture 1: Black_Hair=0' not in [row.title for row in gallery_of(shown, 'folder', 2, 0, pictures)]


def test_masks_against_training_time(tmp_path: Path) -> None:
    folders = [saved(tmp_path / 'kept' / f'{i:07d}', AGGAN.tiny()) for i in (10, 20)]
    masks = iter((50, 200))

    def show(model: Any) -> list[GalleryRow]:
        assert isinstance(model.method, AGGAN) and model.data == DataSpec(size=16, domains=('A', 'B'))
        return [GalleryRow('face 1: to=B', {'input': np.zeros((4, 4, 3), np.uint8), 'mask': np.full((4, 4), next(masks), np.uint8)}),
                GalleryRow('face 2: to=B', {'input': np.zeros((4, 4, 3), np.uint8)})]

    row, = kept_to_rows(folders, show)
    assert row.title == 'face 1: to=B: mask against iterations' and list(row.panels) == ['input', '10', '20']
    assert [int(row.panels[name][0, 0]) for name in ('10', '20')] == [50, 200]


def test_training_keeps_models_on_its_way(tmp_path: Path) -> None:
    words = ['train', 'aggan.toyfaces', '--data.n', '8', '--data.size', '16', '--train.batch-size', '2', '--train.iterations', '5',
             '--train.keep-every', '2', '--method.width-g', '4', '--method.width-d', '4', '--method.blocks', '1']
    assert main([*words, '--out', str(tmp_path / 'run')]) == 0
    assert sorted(path.name for path in (tmp_path / 'run' / 'kept').iterdir()) == ['0000002', '0000004']
    assert main(['evaluate', str(tmp_path / 'run'), '--n', '8', '--figures']) == 0
    figures = [path.name for path in (tmp_path / 'run' / 'figures').iterdir()]
    assert any('mask-against-iterations' in name for name in figures), figures


def test_one_attribute_of_several_on_photographs() -> None:
    """LOMIT's Figure 4 where no true region is known: what a parser calls hair, or mouth and lips, is taken out of both masks."""
    from types import SimpleNamespace

    from torch import nn

    from retouch.data.parsing import TWELVE
    from retouch.engine.update import ExemplarRequest, Translation
    from retouch.evaluation.transfers import folder_pairs
    from retouch.report.figures import removals_to_rows

    images = np.zeros((2, 8, 8, 3), np.uint8)
    images[:, :4, :, 0] = 250                                    # hair above, lips below
    asked: list[ExemplarRequest] = []

    def translate(request: ExemplarRequest) -> Translation:
        asked.append(request)
        ones = torch.ones(1, 1, 8, 8)
        return Translation(request.image, ones, {'exemplar_mask': ones})

    def read(x: torch.Tensor) -> torch.Tensor:
        classes = torch.where(x[:, 0] > 0.5, TWELVE.index('hair'), TWELVE.index('lips'))
        return nn.functional.one_hot(classes, 12).movedim(-1, 1).float()

    method = SimpleNamespace(translate=translate, nets=nn.ModuleDict())
    reader = SimpleNamespace(id='parser', read=read, nets=nn.ModuleDict())
    parser: Any = SimpleNamespace(method=reader, data=DataSpec(size=8, attributes=TWELVE))
    pairs = folder_pairs(('Black_Hair', 'Smiling'), images, np.array([[0, 0], [1, 1]]))
    assert removals_to_rows(method, pairs) == [], 'without a parser nobody knows where'
    row, other = removals_to_rows(method, pairs, parser=parser)
    assert {'all', 'only hair', 'only Smiling'} <= set(row.panels) and other.title == 'pair 2: all, then one by one'
    _, hair, smile = asked[:3]
    assert hair.mask is not None and hair.exemplar_mask is not None and smile.mask is not None
    assert hair.mask[0, 0, :4].all() and not hair.mask[0, 0, 4:].any(), 'lips are taken out'
    assert torch.equal(hair.mask, hair.exemplar_mask) and torch.equal(smile.mask, 1 - hair.mask)
