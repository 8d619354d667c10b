"""The face parser: its classes, its data, its loss, what it promises to those who use it frozen, and how it is scored."""
from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import ValidationError

from retouch import toyfaces
from retouch.cli import main as cli
from retouch.data.batches import IGNORED, DataSpec, Moment, ParsingBatch
from retouch.data.configs import ParsingData
from retouch.data.loader import ParsingLoader
from retouch.data.parsing import GROUPS, IDS, STREETS, TWELVE, groups_of, logits_to_twelve, mirrored_classes, warp
from retouch.data.sets import ParsingSet, make_loader, open_parsing, set_to_hash
from retouch.evaluation.card import Card
from retouch.evaluation.parsing import images_to_parses, parser_card
from retouch.methods.parser import Config, Parser, dice_loss, hard_cross_entropy
from retouch.metrics.bootstrap import tally_to_value, tally_to_values
from retouch.metrics.parses import parses_to_tallies
from retouch.model import Model, load_model, model_to_parser, save_model
from retouch.networks.parser import UNet
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

CPU = torch.device('cpu')
CELEBAMASK, OTHER = IDS['celebamask'], IDS['face_parsing']


def written(root: Path, n: int = 20, order: tuple[str, ...] = CELEBAMASK, side: int = 32, mode: str = 'P',
            mask_side: int | None = None) -> Path:
    """Drawn faces as a folder of pictures and masks of nineteen classes: every group is written as its first member."""
    for name in ('images', 'masks'):
        (root / name).mkdir(parents=True, exist_ok=True)
    images, parses, _ = toyfaces.draw_set(range(n), side, workers=1)
    fine = np.array([order.index(GROUPS[group][0]) for group in TWELVE], np.uint8)
    for i, (image, parse) in enumerate(zip(images, parses, strict=True)):
        Image.fromarray(image).save(root / 'images' / f'{i:02d}.png')
        mask = Image.fromarray(fine[parse])
        if mode == 'P':
            mask.putpalette([v for k in range(256) for v in (255 - k, k, 7 * k % 256)])         # colours that mean nothing
        if mask_side:
            mask = mask.resize((mask_side, mask_side), Image.Resampling.NEAREST)
        mask.save(root / 'masks' / f'{i:02d}.png')
    return root


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """An untrained parser of 32 px, as a user loads it."""
    torch.manual_seed(3)
    parser = Parser.tiny()
    weights = {f'parser.{k}': v for k, v in parser.nets['parser'].state_dict().items()}
    save_model(tmp_path / 'model', parser, weights, {'data': ParsingData(size=32).model_dump(mode='json')})
    return load_model(tmp_path / 'model')


# ---- classes

def test_both_orders_of_the_nineteen_hold_the_same_classes_and_every_group_has_its_members() -> None:
    assert len(CELEBAMASK) == len(OTHER) == len(set(CELEBAMASK)) == 19 and set(CELEBAMASK) == set(OTHER)
    assert sorted(fine for members in GROUPS.values() for fine in members) == sorted(CELEBAMASK)
    assert TWELVE == toyfaces.CLASSES
    # SeCGAN's table in the order of face-parsing.PyTorch
    table = {'skin': [1], 'eyebrows': [2, 3], 'eyes': [4, 5], 'eyeglasses': [6], 'ears': [7, 8], 'earrings': [9], 'nose': [10],
             'mouth': [11], 'lips': [12, 13], 'neck': [14], 'hair': [17], 'others': [0, 15, 16, 18]}
    assert {group: [OTHER.index(fine) for fine in members] for group, members in GROUPS.items()} == table
    assert CELEBAMASK.index('nose') == 2 and CELEBAMASK.index('hair') == 13


@pytest.mark.parametrize('names', [TWELVE, CELEBAMASK, OTHER], ids=['twelve', 'celebamask', 'face_parsing'])
def test_grouped_probabilities_sum_to_one_and_are_sums(names: tuple[str, ...]) -> None:
    logits = (torch.randn(2, len(names), 4, 4, dtype=torch.float64) * 8).requires_grad_()
    grouped = logits_to_twelve(logits, names)
    assert grouped.shape == (2, 12, 4, 4)
    torch.testing.assert_close(grouped.exp().sum(1), torch.ones(2, 4, 4, dtype=torch.float64))
    p = logits.softmax(1)
    for g, members in enumerate(GROUPS.values()):
        own = [names.index(fine) for fine in members] if len(names) == 19 else [g]
        torch.testing.assert_close(grouped[:, g].exp(), p[:, own].sum(1))
    assert torch.autograd.grad(grouped[:, 0].sum(), logits)[0].abs().sum() > 0


def test_grouping_is_not_the_group_of_the_likeliest_class_and_stays_finite() -> None:
    logits = torch.full((1, 19, 1, 1), -1e4)
    logits[0, OTHER.index('hair')], logits[0, OTHER.index('u_lip')], logits[0, OTHER.index('l_lip')] = 1.0, 0.9, 0.9
    grouped = logits_to_twelve(logits, OTHER)
    assert TWELVE[int(grouped.argmax(1))] == 'lips' and OTHER[int(logits.argmax(1))] == 'hair'
    assert grouped.isfinite().all()


def test_classes_of_no_list_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown class of a face parse 'nos': did you mean 'nose'"):
        groups_of(('nos',))
    with pytest.raises(ValueError, match="no class of 'hair'.*expected all of a list"):
        logits_to_twelve(torch.zeros(1, 11, 2, 2), [name for name in TWELVE if name != 'hair'])


def test_a_mirror_changes_left_and_right_and_nothing_else() -> None:
    mirrored = mirrored_classes(CELEBAMASK)
    moved = {name: CELEBAMASK[k] for name, k in zip(CELEBAMASK, mirrored, strict=True) if CELEBAMASK[k] != name}
    assert moved == {f'{a}_{part}': f'{b}_{part}' for part in ('eye', 'brow', 'ear') for a, b in ('lr', 'rl')}
    assert [mirrored[k] for k in mirrored] == list(range(19)) and mirrored_classes(TWELVE) == list(range(12))


# ---- data

@pytest.mark.parametrize('ids', ['celebamask', 'face_parsing'])
@pytest.mark.parametrize('mode', ['P', 'L'])
def test_a_folder_gives_the_twelve_or_the_nineteen(tmp_path: Path, ids: str, mode: str) -> None:
    root = written(tmp_path, order=IDS[ids], mode=mode)
    _, truth, _ = toyfaces.draw_set(range(20), 32, workers=1)
    train, test = (open_parsing(ParsingData(source=str(root), ids=ids, size=32), split) for split in ('train', 'test'))
    assert train.images.shape == (18, 32, 32, 3) and test.images.shape == (2, 32, 32, 3), 'the last tenth is held out'
    assert np.array_equal(np.concatenate([train.segmentations, test.segmentations]), truth) and train.spec.attributes == TWELVE
    again = open_parsing(ParsingData(source=str(root), ids=ids, size=32))                      # from the cache
    assert np.array_equal(again.segmentations, train.segmentations) and set_to_hash(again) == set_to_hash(train) != set_to_hash(test)
    fine = open_parsing(ParsingData(source=str(root), ids=ids, classes='nineteen', size=32))
    assert fine.spec.attributes == IDS[ids]
    assert np.array_equal(np.array(groups_of(fine.spec.attributes), np.uint8)[fine.segmentations], train.segmentations)


def test_masks_are_of_their_pictures_size_or_of_half_of_it(tmp_path: Path) -> None:
    root = written(tmp_path, side=64, mask_side=32)
    assert open_parsing(ParsingData(source=str(root), size=32)).segmentations.shape == (18, 32, 32)
    for side in ((32, 24), (48, 48), (16, 16), (128, 128)):
        Image.new('P', side).save(root / 'masks' / '03.png')
        with pytest.raises(ValueError, match=f'masks/03.png: {side[0]} x {side[1]} px, its picture 64 x 64 px: expected .* or half of it'):
            open_parsing(ParsingData(source=str(root), size=32))


def test_a_picture_that_is_shown_turned_has_its_mask_as_it_is_shown(tmp_path: Path) -> None:
    root = written(tmp_path, n=2)
    turned, wide = Image.Exif(), Image.new('RGB', (48, 32))
    turned[0x0112] = 6                                            # to be shown turned by a quarter
    wide.save(root / 'images' / '00.png', exif=turned)
    Image.fromarray(np.full((48, 32), CELEBAMASK.index('hair'), np.uint8)).save(root / 'masks' / '00.png')
    assert (open_parsing(ParsingData(source=str(root), size=32)).segmentations == TWELVE.index('hair')).all()


def test_a_small_folder_holds_one_picture_out(tmp_path: Path) -> None:
    root = written(tmp_path / '2', n=2)
    assert [len(open_parsing(ParsingData(source=str(root), size=32), split).images) for split in ('train', 'test')] == [1, 1]
    with pytest.raises(ValueError, match='has no train pictures: expected at least 2'):
        open_parsing(ParsingData(source=str(written(tmp_path / '1', n=1)), size=32))


def test_bad_masks_are_one_line_each(tmp_path: Path) -> None:
    root = written(tmp_path)
    Image.fromarray(np.full((32, 32), 19, np.uint8)).save(root / 'masks' / '02.png')
    with pytest.raises(ValueError, match=r'masks/02.png: class id 19: expected 0 to 18; .*--data.ids') as error:
        open_parsing(ParsingData(source=str(root), size=32))
    assert '\n' not in str(error.value)
    with pytest.raises(ValueError, match='class id 1[0-9]: expected 0 to 11'):
        open_parsing(ParsingData(source=str(root), ids='twelve', size=32))
    Image.new('RGB', (32, 32)).save(root / 'masks' / '02.png')
    with pytest.raises(ValueError, match='mode RGB: expected one channel of class ids'):
        open_parsing(ParsingData(source=str(root), size=32))
    (root / 'masks' / '02.png').unlink()
    with pytest.raises(ValueError, match='1 of 20 pictures have no mask'):
        open_parsing(ParsingData(source=str(root), size=32))
    with pytest.raises(ValueError, match='no train pictures|holds no pictures'):
        open_parsing(ParsingData(source=str(tmp_path / 'masks'), size=32))


@pytest.mark.parametrize('wrong,right', [('celebamask', 'face_parsing'), ('face_parsing', 'celebamask')])
def test_masks_read_in_the_other_order_are_noticed(tmp_path: Path, wrong: str, right: str) -> None:
    root = written(tmp_path, order=IDS[right])
    with pytest.raises(ValueError, match=f'read as ids={wrong} .*set --data.ids {right}'):
        open_parsing(ParsingData(source=str(root), ids=wrong, size=32))


def test_options_that_do_not_fit_are_refused() -> None:
    for fields in ({'classes': 'nineteen'}, {'source': 'x', 'ids': 'twelve', 'classes': 'nineteen'}, {'scale': (1.1, 0.9)}, {'shift': 0.7}):
        with pytest.raises(ValidationError):
            ParsingData(**fields)
    for size in (16, 40):
        with pytest.raises(ValueError, match=f'size={size}: .*expected a multiple of 16 from 32 on; set --data.size 32'):
            Parser(Config(width=2), DataSpec(size=size, attributes=TWELVE))


def test_a_picture_and_its_parse_move_together() -> None:
    """The picture is a function of the class, so that every batch can be checked against it."""
    parses = np.random.default_rng(0).integers(0, 19, (6, 12, 12)).astype(np.uint8)
    parses = parses.repeat(8, 1).repeat(8, 2)
    images = np.repeat(parses[..., None] * 10, 3, 3)
    twins = np.array(mirrored_classes(CELEBAMASK))
    for scale, shift in (((1.0, 1.0), 0.0), ((0.75, 1.1), 0.06)):
        loader = ParsingLoader(images, parses, CELEBAMASK, scale, shift, batch_size=6, seed=1, size=96, flip=True, device=CPU)
        flipped = 0
        for iteration in range(4):
            batch = loader.batch(iteration, 4)
            assert batch.classes.dtype == torch.int64 and batch.classes.shape == (6, 96, 96)
            shown = ((batch.image[:, 0] + 1) * 127.5 / 10).round().long()
            mirrored = (batch.moment.uniform('flip') < 0.5)[:, None, None]
            expected = torch.where(mirrored, torch.from_numpy(twins)[shown.clamp(0, 18)], shown)
            known = batch.classes != IGNORED
            agree = (expected == batch.classes)[known].float().mean()
            assert agree == 1 if scale == (1.0, 1.0) else agree > 0.7      # bilinear edges of squares of 8 px
            assert bool(known.all()) == (scale == (1.0, 1.0))
            flipped += int(mirrored.sum())
        assert 0 < flipped < 24


def test_warp_shrinks_moves_and_says_what_it_does_not_know() -> None:
    images = torch.linspace(-1, 1, 16).repeat(1, 3, 16, 1)
    parses = torch.arange(256).reshape(1, 16, 16) % 12
    image, classes = warp(images, parses, torch.tensor([1.0]), torch.zeros(1, 2))
    torch.testing.assert_close(image, images)
    assert torch.equal(classes, parses)
    image, classes = warp(images, parses, torch.tensor([0.5]), torch.zeros(1, 2))
    assert ((classes == IGNORED).sum(), (classes[0, 4:12, 4:12] == IGNORED).sum()) == (256 - 64, 0)
    image, classes = warp(images, parses, torch.tensor([1.0]), torch.tensor([[0.25, 0.0]]))          # a quarter to the right
    assert torch.equal(classes[..., 4:], parses[..., :-4]) and (classes[..., :4] == IGNORED).all()
    torch.testing.assert_close(image[..., 4:], images[..., :-4])


def test_a_loader_is_made_for_the_set() -> None:
    config = ParsingData(size=32, n=6)
    opened = open_parsing(config)
    loader = make_loader(opened, config, 3, 0, CPU)
    batch, same = loader.batch(0, 2), loader.batch(0, 2)
    assert isinstance(loader, ParsingLoader) and torch.equal(batch.classes, same.classes) and batch.classes.max() < 12
    assert len(open_parsing(ParsingData(size=32, holdout=4), 'test').images) == 4


# ---- network and loss

def test_the_network_is_as_large_as_it_says() -> None:
    assert sum(p.numel() for p in UNet(12).parameters()) == 1_286_892
    assert '1,286,892' in str(UNet.__doc__)
    assert UNet(12, 2)(torch.zeros(1, 3, 64, 96)).shape == (1, 12, 64, 96)


def test_it_is_differentiable_frozen_and_in_eval_mode_like_a_system_guided_by_it(model: Model) -> None:
    parser, x = model.method, (torch.rand(2, 3, 32, 32) * 2 - 1).requires_grad_()
    logits = parser.nets['parser'](x)
    assert logits.shape == (2, 12, 32, 32)
    F.cross_entropy(logits, torch.randint(12, (2, 32, 32))).backward()
    assert x.grad is not None and x.grad.isfinite().all() and (x.grad != 0).float().mean() > 0.5
    assert all(p.grad is None for p in parser.nets.parameters())
    log_p = parser.read(x)
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(2, 32, 32))
    alone = parser.read(x[:1])
    torch.testing.assert_close(alone, log_p[:1], rtol=0, atol=1e-5, msg='independent of batch mates')


def test_hard_pixels() -> None:
    logits = torch.zeros(1, 2, 4, 8)
    logits[:, 0] = 5.0                                            # sure of class 0
    classes = torch.zeros(1, 4, 8, dtype=torch.int64)
    sure, wrong = math.log1p(math.exp(-5)), 5 + math.log1p(math.exp(-5))
    assert hard_cross_entropy(logits, classes, 0.7).item() == pytest.approx(sure, rel=1e-5)      # none is hard: the hardest 1/16
    classes[0, 0, :4] = 1
    assert hard_cross_entropy(logits, classes, 0.7).item() == pytest.approx(wrong, rel=1e-5)
    assert hard_cross_entropy(logits, classes, 1.0).item() == pytest.approx((4 * wrong + 28 * sure) / 32, rel=1e-5)
    classes[0, 0, :4] = IGNORED
    assert hard_cross_entropy(logits, classes, 0.7).item() == pytest.approx(sure, rel=1e-5)
    classes[0, 1:] = IGNORED                                      # four known ones: at least one counts
    assert hard_cross_entropy(logits, classes, 0.7).item() == pytest.approx(sure, rel=1e-5)
    torch.manual_seed(0)                                          # against a sum over the known ones alone
    z, s = torch.randn(2, 12, 16, 16, dtype=torch.float64), torch.randint(12, (2, 16, 16))
    s[torch.rand(s.shape) < 0.3] = IGNORED
    each = F.cross_entropy(z.movedim(1, -1)[s != IGNORED], s[s != IGNORED], reduction='none').sort(descending=True).values
    for hard in (0.7, 1e-3):
        above = max(int((each > -math.log(hard)).sum()), len(each) // 16)
        torch.testing.assert_close(hard_cross_entropy(z, s, hard), each[:above].mean())
    nothing = hard_cross_entropy(logits.requires_grad_(), torch.full_like(classes, IGNORED), 0.7)
    nothing.backward()
    assert nothing == 0 and torch.equal(logits.grad, torch.zeros_like(logits))


def test_dice_by_hand() -> None:
    classes = torch.tensor([[[0, 0, 1, IGNORED]]])
    p = torch.tensor([[0.9, 0.6, 0.3, 0.5], [0.1, 0.4, 0.5, 0.5], [1e-9, 1e-9, 0.2, 1e-9]])      # [C,W]; the last is unknown
    first, second = 2 * 1.5 / (1.8 + 2), 2 * 0.5 / (1.0 + 1)                           # nothing shows the third class
    assert dice_loss(p.log()[None, :, None], classes).item() == pytest.approx(1 - (first + second) / 2, rel=1e-5)
    assert dice_loss(p.log()[None, :, None], classes.new_full(classes.shape, IGNORED)).item() == 0
    torch.manual_seed(0)
    batch = ParsingBatch(torch.rand(2, 3, 32, 32) * 2 - 1, torch.randint(0, 12, (2, 32, 32)), torch.arange(2), Moment(count=2, total=2))
    spec = DataSpec(size=32, attributes=TWELVE)
    plain, both = (Parser(Config(width=2, lambda_dice=weight), spec) for weight in (0.0, 3.0))
    both.load_state_dict(plain.state_dict())
    one, other = (method.parser_step(batch, {}) for method in (plain, both))
    assert set(one.logs) == {'error'} and other.logs['ce'] == one.loss
    assert other.loss.item() == pytest.approx(one.loss.item() + 3 * other.logs['dice'].item(), rel=1e-6)


def test_a_step_asks_nothing_of_the_host() -> None:
    """On the meta device there is no value to ask for."""
    with torch.device('meta'):
        parser = Parser(Config(width=2), DataSpec(size=32, attributes=TWELVE))
    batch = random_batch('parsing', parser.data)
    there = replace(batch, image=batch.image.to('meta'), classes=batch.classes.to('meta'))
    assert parser.parser_step(there, {}).loss.shape == ()
    assert logits_to_twelve(torch.zeros(1, 19, 4, 4, device='meta'), OTHER).shape == (1, 12, 4, 4)


def test_few_iterations_learn_the_drawn_faces() -> None:
    from lightning_fabric import Fabric

    from retouch.engine.trainer import Trainer

    config = ParsingData(size=32, n=32)
    loader = make_loader(open_parsing(config), config, 8, 0, CPU)
    trainer = Trainer(Parser(Config(width=4, lr=1e-2), DataSpec(size=32, attributes=TWELVE)), Fabric(accelerator='cpu', devices=1), 40)
    losses = [trainer.train_iteration(loader.batch(i, 40))['P'].loss.item() for i in range(40)]
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


# ---- scores

def test_scores_of_known_parses() -> None:
    truth = np.array([[[0, 0], [1, 1]], [[0, 0], [0, IGNORED]]], np.uint8)
    found = np.array([[[0, 1], [1, 1]], [[0, 0], [1, 1]]], np.uint8)
    tallies = parses_to_tallies(found, truth, 3)
    assert tally_to_value(tallies['fcn_pixel_accuracy']) == pytest.approx(5 / 7)
    assert tally_to_values(tallies['fcn_class_accuracy']) == [pytest.approx(3 / 5), 1.0, None]
    assert tally_to_value(tallies['fcn_class_accuracy']) == pytest.approx((3 / 5 + 1) / 2)
    assert tally_to_values(tallies['fcn_iou']) == [pytest.approx(3 / 5), pytest.approx(2 / 4), None]
    assert tally_to_value(tallies['fcn_iou']) == pytest.approx((3 / 5 + 1 / 2) / 2)


def test_card_of_a_parser(model: Model) -> None:
    opened = open_parsing(ParsingData(size=32, holdout=6), 'test')
    card = parser_card(model, opened, command='x')
    assert (card.protocol, card.n, card.data.attributes) == ('parser', 6, TWELVE)
    assert set(card.measures) == {'fcn_pixel_accuracy', 'fcn_class_accuracy', 'fcn_iou'}
    found = images_to_parses(model, opened.images, batch_size=4)
    assert card.measures['fcn_pixel_accuracy'].value == pytest.approx((found == opened.segmentations).mean())
    assert set(card.measures['fcn_iou'].per_attribute or ()) == set(TWELVE)
    perfect = parses_to_tallies(opened.segmentations, opened.segmentations, 12)
    assert {tally_to_value(t) for t in perfect.values()} == {1.0}


def test_a_parser_that_does_not_fit_is_refused(model: Model) -> None:
    assert model_to_parser(model, 32, TWELVE) is model
    with pytest.raises(ValueError, match=r'parses 32 px, the pictures are 48 px: expected a parser of that size'):
        model_to_parser(model, 48)
    with pytest.raises(ValueError, match=r'names the classes skin, .*: expected background, '):
        model_to_parser(model, 32, CELEBAMASK)
    with pytest.raises(ValueError, match='is a classifier: expected a parser'):
        model_to_parser(load_model('judge'), 64)
    opened = open_parsing(ParsingData(size=48, holdout=2), 'test')
    with pytest.raises(ValueError, match='expected a parser of that size'):
        parser_card(model, opened)
    other = ParsingSet(opened.images[:, :32, :32], opened.segmentations[:, :32, :32], DataSpec(size=32, attributes=CELEBAMASK))
    with pytest.raises(ValueError, match='names the classes'):
        parser_card(model, other)


def test_train_and_evaluate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, run = written(tmp_path / 'faces'), tmp_path / 'run'
    small = ['--method.width', '2', '--train.batch-size', '2', '--stop-after', '2', '--data.size', '32']
    assert cli.main(['train', 'parser.celebamask', '--data', str(root), '--out', str(run), *small]) == 0
    assert 'retouch evaluate' in capsys.readouterr().out
    assert cli.main(['evaluate', str(run), '--json']) == 0
    card = Card.model_validate(json.loads(capsys.readouterr().out))
    assert card.protocol == 'parser' and card.n == 2 and card.data.source == str(root)         # a tenth of twenty
    assert Card.read(run / 'card.json') == card
    assert cli.main(['evaluate', str(run), '--data', 'toyfaces', '--n', '3', '--out', str(tmp_path / 'other')]) == 0
    assert Card.read(tmp_path / 'other' / 'card.json').n == 3
    capsys.readouterr()
    for arguments, complaint in ((['edit', str(run), str(root / 'images' / '00.png'), '--out', str(tmp_path / 'e')], 'cannot edit'),
                                 (['evaluate', str(run), '--judge', 'judge'], '--judge does not apply to a parser'),
                                 (['evaluate', str(run), '--size', '48'], '--size 48')):
        assert cli.main(arguments) == 2
        err = capsys.readouterr().err
        assert complaint in err and len(err.strip().splitlines()) == 1


def test_bad_masks_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line and exit status 2, before anything is written."""
    for name, mask, complaint in (('id', Image.fromarray(np.full((32, 32), 19, np.uint8)), 'masks/02.png: class id 19: expected 0 to 18'),
                                  ('size', Image.new('P', (24, 24)), 'masks/02.png: 24 x 24 px, its picture 32 x 32 px')):
        root = written(tmp_path / name)
        mask.save(root / 'masks' / '02.png')
        assert cli.main(['train', 'parser.celebamask', '--data', str(root), '--data.size', '32', '--out', str(tmp_path / 'run')]) == 2
        err = capsys.readouterr().err
        assert complaint in err and len(err.strip().splitlines()) == 1 and not (tmp_path / 'run').exists()
        assert cli.main(['data', 'check', str(root)]) == 1
        assert [complaint in line for line in capsys.readouterr().out.splitlines() if line.startswith('error: ')] == [True]


def test_recipes() -> None:
    sizes = {'streets': 128, 'toyfaces48': 48, 'toyfaces32': 32, 'celebamask': 128}
    assert [name for name in RECIPES if name.startswith('parser.')] == [f'parser.{row}' for row in sizes]
    for name, size in sizes.items():
        run = RECIPES[f'parser.{name}']()
        assert run.data.size == size and run.data.names == (STREETS if name == 'streets' else TWELVE)
        Parser(run.method, DataSpec(size=size, attributes=run.data.names))


@pytest.mark.real_data
def test_real_masks_are_read_in_their_order(real_data: Path) -> None:
    opened = open_parsing(ParsingData(source=str(real_data / 'celebamask_hq_mini'), size=64), 'test')
    share = np.bincount(opened.segmentations.ravel(), minlength=12) / opened.segmentations.size
    assert len(opened.images) == 90 and share.argmax() in (TWELVE.index('hair'), TWELVE.index('others'), TWELVE.index('skin'))
    with pytest.raises(ValueError, match='set --data.ids celebamask'):
        open_parsing(ParsingData(source=str(real_data / 'celebamask_hq_mini'), ids='face_parsing', size=64), 'test')
