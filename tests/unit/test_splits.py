"""Which files are learned from and which are scored, by name, as the papers split their sets; and a judge that saw what it would judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from retouch.data import splits
from retouch.data.configs import AttributeData, DomainData, ExemplarData, PairData, ParsingData
from retouch.data.sets import open_attributes, open_domains
from retouch.data.sources import AttributeFolder, read_attribute_folder
from retouch.data.splits import domain_files, drawn_rows, files_of, sides_of
from retouch.evaluation.evaluate import Request, evaluate
from retouch.evaluation.held_out import held_out_of_domains
from retouch.methods.aggan_multi import AGGANMulti
from retouch.methods.classifier import AttributeClassifier
from retouch.model import load_model, save_model
from retouch.recipes.registry import RECIPES
from tests.unit.test_held_out import model, shades, silent
from tests.unit.test_sources import fails, pairs, picture, rafd


def names(paths: Any) -> list[str]:
    return [path.name for path in paths]


def celeba(root: Path, n: int = 20, columns: str = 'Smiling Male No_Beard Goatee Mustache') -> Path:
    """Pictures whose grey is their number in CelebA's layout; the first attribute is that of every other picture."""
    shades(root / 'img_align_celeba', n)
    width = len(columns.split())
    rows = [f'{i:03d}.png ' + ' '.join('1' if (i >> k) % 2 else '-1' for k in range(width)) for i in range(n)]
    (root / 'list_attr_celeba.txt').write_text(f'{n}\n{columns}\n' + '\n'.join(rows) + '\n')
    return root


# ---- the published splits of CelebA and CelebA-HQ

CELEBA = tuple(Path(f'{i:06d}.jpg') for i in range(1, 202_600))


@pytest.mark.parametrize(
    ('recipe', 'learned', 'last', 'scored', 'first'),
    [
        ('attgan.paper', 182_000, '182000.jpg', 19_962, '182638.jpg'),  # AttGAN's code, SeCGAN: 182,000 / 637 / 19,962
        ('secgan.stargan_paper', 182_000, '182000.jpg', 19_962, '182638.jpg'),
        ('secgan.attgan_paper', 182_000, '182000.jpg', 19_962, '182638.jpg'),
        ('stgan.official', 182_000, '182000.jpg', 19_962, '182638.jpg'),
        ('classifier.paper', 182_000, '182000.jpg', 19_962, '182638.jpg'),  # never what the models above are scored on
        ('stargan.paper', 200_599, '200599.jpg', 2000, '200600.jpg'),
        ('stgan.paper', 200_599, '200599.jpg', 2000, '200600.jpg'),
    ],
)
def test_celeba_by_its_official_files(
    recipe: str, learned: int, last: str, scored: int, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RECIPES[recipe]().data
    labels = np.zeros((len(CELEBA), len(config.attributes)), np.uint8)
    folder = AttributeFolder('celeba', Path('x'), CELEBA, labels, config.attributes, None, False)
    monkeypatch.setattr(splits, 'read_attribute_folder', lambda *options: folder)
    train, test = (files_of(config, part) for part in ('train', 'test'))  # type: ignore[arg-type]
    assert (len(train), train[0].name, train[-1].name) == (learned, '000001.jpg', last)
    assert (len(test), test[0].name, test[-1].name) == (scored, first, '202599.jpg')


def test_a_small_folder_keeps_the_proportions(tmp_path: Path) -> None:
    config = AttributeData(source=str(celeba(tmp_path, 100)), size=8, holdout=19_962, validation=9_981)
    train, test = files_of(config, 'train'), files_of(config, 'test')  # a fifth is held out, and half as many before it
    assert (len(train), train[-1].name, len(test), test[0].name) == (70, '069.png', 20, '080.png')
    assert open_attributes(config, 'test').images[:, 0, 0, 0].tolist() == list(range(80, 100))
    exemplars = ExemplarData(source=str(tmp_path), attributes=('Smiling',), any_of=('Male',), size=8)
    assert names(files_of(exemplars, 'test')) == [f'{i:03d}.png' for i in range(80, 100) if (i >> 1) % 2]
    assert files_of(AttributeData()) == ()


# ---- RaFD, by its people


def test_rafd_as_handed_out_is_split_by_people(tmp_path: Path) -> None:
    root = tmp_path / 'RaFD'
    for person in (1, 2, 7, 23):
        for angle in ('000', '045', '090', '135', '180'):
            for expression in ('angry', 'happy'):
                for gaze in ('frontal', 'left', 'right'):
                    picture(root / f'Rafd{angle}_{person:02d}_Caucasian_male_{expression}_{gaze}.jpg', colour=person)
    config = AttributeData(source=str(root), size=8, people=1)
    train, test = files_of(config, 'train'), files_of(config, 'test')
    assert len(train) == 3 * 18 and len(test) == 18 and not set(train) & set(test), 'three angles, three gazes, two expressions'
    assert {path.name.split('_')[1] for path in train} == {'01', '02', '07'} and {path.name.split('_')[1] for path in test} == {'23'}
    poses = {(path.name[4:7], path.stem.rsplit('_')[-1]) for path in test}
    assert poses == {(angle, gaze) for angle in ('045', '090', '135') for gaze in ('frontal', 'left', 'right')}, 'every pose and gaze'
    folder = read_attribute_folder(root)
    assert (
        folder.names == ('angry', 'happy') and folder.exclusive and folder.notes == ('48 of 120 pictures are in profile and are not used',)
    )
    assert open_attributes(config, 'test').images[:, 0, 0, 0].tolist() == [23] * 18
    fails('people=4 of 4', lambda: files_of(config.model_copy(update={'people': 4}), 'train'))
    other = AttributeData(source=str(celeba(tmp_path / 'other', 10)), people=1)
    assert len(files_of(other, 'test')) == 2, 'pictures of no RaFD name are split as any others'
    picture(tmp_path / 'mixed' / 'angry' / 'Rafd090_01_Caucasian_male_angry_frontal.jpg')
    picture(tmp_path / 'mixed' / 'happy' / 'mine.jpg')
    mixed = AttributeData(source=str(tmp_path / 'mixed'), people=1)
    fails('mine.jpg does not say who it shows', lambda: files_of(mixed, 'train'))
    assert len(read_attribute_folder(rafd(tmp_path / 'few')).paths) == 4


# ---- random shares, with the seed of the record


def test_a_fifth_of_each_domain_at_random(tmp_path: Path) -> None:
    """ASGIT: every set is split 80/20 at random."""
    root = tmp_path / 'set'
    for name, n in {'trainA': 15, 'trainB': 8, 'testA': 5, 'testB': 2}.items():
        shades(root / name, n)
    config = DomainData(source=str(root), size=8, load_size=None, test_share=0.2)
    (train_a, train_b), (test_a, test_b) = domain_files(config, 'train'), domain_files(config, 'test')
    assert [len(part) for part in (train_a, train_b, test_a, test_b)] == [16, 8, 4, 2]
    assert not {*train_a} & {*test_a} and len({*train_a, *test_a}) == 20
    assert {path.parent.name for path in (*train_a, *test_a)} == {'trainA', 'testA'}, 'of all pictures, whatever they were released as'
    every = [*(root / 'trainA' / f'{i:03d}.png' for i in range(15)), *(root / 'testA' / f'{i:03d}.png' for i in range(5))]
    assert list(test_a) == [every[i] for i in sorted(np.random.default_rng(0).permutation(20)[:4])]
    assert domain_files(config.model_copy(update={'seed': 1}), 'test')[0] != test_a
    assert domain_files(config, 'test') == (test_a, test_b)
    stargan = AttributeData(source=str(root), size=8, test_share=0.2)  # the same files for a system of classes
    assert set(files_of(stargan, 'test')) == {*test_a, *test_b} and set(files_of(stargan, 'train')) == {*train_a, *train_b}
    for recipe in ('asgit.paper', 'asgit_pairs.paper', 'pix2pix.asgit'):
        assert RECIPES[recipe]().data.test_share == 0.2 and RECIPES[recipe]().model_dump()['data']['seed'] == 0

    trained = model(root)
    trained.info['data'] |= {'test_share': 0.2, 'kind': 'domains'}
    images, labels = held_out_of_domains(trained, str(root), None, silent)
    assert sorted(images[labels[:, 1] == 1][:, 0, 0, 0].tolist()) == sorted(int(p.stem) for p in test_b)
    from retouch.evaluation.held_out import part_of

    assert part_of(str(root), trained) == 'test'
    fails('of which training drew its own at random', lambda: part_of(f'{root}/testA,{root}/testB', trained))


def test_pairs_at_random(tmp_path: Path) -> None:
    config = PairData(source=str(pairs(tmp_path)), size=8, load_size=None, test_share=0.5)
    train, test = files_of(config, 'train'), files_of(config, 'test')
    assert len(train) == len(test) == 3 and {*names(train), *names(test)} == {f'{i}.jpg' for i in range(1, 7)}
    assert files_of(config.model_copy(update={'test_share': None}), 'test') == files_of(PairData(source=str(tmp_path)), 'test')
    assert names(files_of(PairData(source=str(tmp_path)), 'test')) == ['5.jpg', '6.jpg']


def test_parses(tmp_path: Path) -> None:
    for i in range(20):
        picture(tmp_path / 'images' / f'{i:02d}.jpg')
        picture(tmp_path / 'masks' / f'{i:02d}.png', mode='L')
    assert names(files_of(ParsingData(source=str(tmp_path)), 'test')) == ['18.jpg', '19.jpg']


def test_test_parts_are_scored_whole(tmp_path: Path) -> None:
    """apple2orange: 266 and 248, not as many of either."""
    for name, n in {'trainA': 1, 'trainB': 1, 'testA': 266, 'testB': 248}.items():
        shades(tmp_path / name, n, -n)
    images, labels = held_out_of_domains(model(tmp_path), str(tmp_path), None, silent)
    assert labels.sum(0).tolist() == [266, 248] and len(images) == 514


# ---- any attribute as two domains


def test_two_of_several_class_folders_give_two_domains(tmp_path: Path) -> None:
    for part, n in (('train', 3), ('test', 2)):
        for name in ('healthy', 'rust', 'scab'):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(n):
                Image.new('RGB', (8, 8)).save(tmp_path / part / name / f'{i}.png')
    config = DomainData(source=str(tmp_path), attribute='healthy/rust', size=8, load_size=None)
    for split, n in (('train', 3), ('test', 2)):
        a, b = domain_files(config, split)                       # type: ignore[arg-type]
        assert [p.parent for p in (*a, *b)] == [tmp_path / split / 'healthy'] * n + [tmp_path / split / 'rust'] * n
    with pytest.raises(ValueError, match="class 'rust' alone: expected at least 2 of healthy, rust, scab"):
        domain_files(config.model_copy(update={'attribute': 'rust'}), 'train')
    with pytest.raises(ValueError, match='Eyeglasses'):
        domain_files(config.model_copy(update={'attribute': 'Eyeglasses'}), 'train')


def test_any_attribute_of_labelled_pictures_gives_two_domains(tmp_path: Path) -> None:
    root = celeba(tmp_path, 40)
    config = DomainData(source=str(root), attribute='Smiling', size=8, load_size=None, holdout=8)
    (a, b), (test_a, test_b) = domain_files(config, 'train'), domain_files(config, 'test')
    assert names(a) == [f'{i:03d}.png' for i in range(0, 32, 2)] and names(b) == [f'{i:03d}.png' for i in range(1, 32, 2)]
    assert names(test_a) == ['032.png', '034.png', '036.png', '038.png'] and names(test_b) == ['033.png', '035.png', '037.png', '039.png']
    few = domain_files(config.model_copy(update={'limit': 3}), 'train')
    assert [len(part) for part in few] == [3, 3] and list(few[0]) == [a[i] for i in drawn_rows(np.arange(16), 3, 0)]
    both = domain_files(config.model_copy(update={'attribute': 'Smiling+Male'}), 'train')
    assert names(both[0]) == [f'{i:03d}.png' for i in range(0, 32, 4)] and names(both[1]) == [f'{i:03d}.png' for i in range(3, 32, 4)]
    either = domain_files(config.model_copy(update={'attribute': 'Smiling/Male'}), 'train')
    assert names(either[0]) == [f'{i:03d}.png' for i in range(1, 32, 4)] and names(either[1]) == [f'{i:03d}.png' for i in range(2, 32, 4)]
    opened = open_domains(config, 'test')
    assert opened.a[:, 0, 0, 0].tolist() == [32, 34, 36, 38] and opened.b[:, 0, 0, 0].tolist() == [33, 35, 37, 39]
    with pytest.raises(ValueError, match="unknown attribute 'Hat'.*--data.attribute"):
        domain_files(config.model_copy(update={'attribute': 'Hat'}), 'train')
    assert sides_of('Male') == (({'Male': 0}, {'Male': 1}), ('Male=0', 'Male=1'))
    stargan = AttributeData(source=str(root), attributes=('Smiling',), size=8, holdout=8, limit=3)
    assert sorted(names(files_of(stargan, 'train'))) == sorted(names((*few[0], *few[1]))), 'the same files for a system of attributes'
    with pytest.raises(ValueError, match='limit=3 with all attributes'):
        AttributeData(limit=3)


def test_aggans_celeba() -> None:
    """AGGAN IV-A: 1,000 neutral and 1,000 smiling faces to learn from, as many to score."""
    data = RECIPES['aggan.celeba']().data
    assert (data.attribute, data.limit, data.holdout, data.source) == ('Smiling', 1000, 19_962, 'celeba')


def test_facial_hair_follows_from_what_celeba_has(tmp_path: Path) -> None:
    root = celeba(tmp_path, 32)
    labels = read_attribute_folder(root, ['Smiling', 'Facial_Hair']).labels
    parts = read_attribute_folder(root, ['No_Beard', 'Goatee', 'Mustache']).labels
    assert labels[:, 1].tolist() == [int(not no_beard or goatee or moustache) for no_beard, goatee, moustache in parts.tolist()]
    assert labels[:, 0].tolist() == [0, 1] * 16 and 0 < labels[:, 1].sum() < 32
    (tmp_path / 'few').mkdir()
    with pytest.raises(ValueError, match="unknown attribute 'No_Beard'"):
        read_attribute_folder(celeba(tmp_path / 'few', 4, 'Smiling'), ['Facial_Hair'])


def test_lists_of_action_units(tmp_path: Path) -> None:
    """EmotioNet's lists: addresses, AU columns, 999 where nobody looked; not every address still has a picture."""
    for name in ('a.jpg', 'b.jpg', 'c.jpg', 'd.jpg'):
        picture(tmp_path / 'pictures' / name)
    rows = [
        'URL, URL orig, AU 1, AU 12',
        'http://x.org/N1/a.jpg, http://y.org/1, 1, 0',
        'http://x.org/N1/b.jpg, http://y.org/2, 0, 1',
        'http://x.org/N2/c.jpg, http://y.org/3, 999, 1',
        'http://x.org/N2/gone.jpg, http://y.org/4, 0, 0',
        'http://x.org/N2/d.jpg, http://y.org/5, 0, 999',
    ]
    (tmp_path / 'list.csv').write_text('\n'.join(rows) + '\n')
    folder = read_attribute_folder(tmp_path, ['AU1', 'AU12'])
    assert names(folder.paths) == ['a.jpg', 'b.jpg'] and folder.labels.tolist() == [[1, 0], [0, 1]]
    assert folder.notes == ('1 of 3 addresses in list.csv have no picture here and are not used',)
    assert names(read_attribute_folder(tmp_path, ['AU1']).paths) == ['a.jpg', 'b.jpg', 'd.jpg']


# ---- crops


def test_a_crop_far_below_a_pictures_side_is_refused(tmp_path: Path) -> None:
    for i in range(5):
        picture(tmp_path / f'{i}.png', (1024, 1024))
    (tmp_path / 'labels.csv').write_text('file,Hat\n' + '\n'.join(f'{i}.png,{i % 2}' for i in range(5)))
    config = AttributeData(source=str(tmp_path), size=8, crop=178)
    fails(
        'crop=178 of pictures of 1024 x 1024 px shows 3% of them: expected at least 512; set --data.crop none for the whole square of '
        '1024 px',
        lambda: open_attributes(config),
    )
    fails(
        'expected at least 512', lambda: open_domains(DomainData(source=str(tmp_path), attribute='Hat', size=8, load_size=None, crop=511))
    )
    assert len(open_attributes(config.model_copy(update={'crop': 512})).images) == 4


def test_domains_are_cut_as_exemplars_are(tmp_path: Path) -> None:
    for i in range(10):
        wide = np.zeros((20, 40, 3), np.uint8)
        wide[:, 10:30] = 200
        (tmp_path / 'x').mkdir(exist_ok=True)
        Image.fromarray(wide).save(tmp_path / 'x' / f'{i}.png')
    (tmp_path / 'x' / 'labels.csv').write_text('file,Hat\n' + '\n'.join(f'{i}.png,{i % 2}' for i in range(10)))
    told: dict[str, Any] = {'source': str(tmp_path / 'x'), 'size': 8, 'crop': 20}
    cut = open_domains(DomainData(attribute='Hat', load_size=None, **told))
    whole = open_domains(DomainData(attribute='Hat', load_size=None, source=told['source'], size=8))
    exemplars = open_attributes(ExemplarData(attributes=('Hat',), **told))
    assert (cut.a == 200).all() and (whole.a == 0).any() and cut.spec.frame == exemplars.spec.frame
    np.testing.assert_array_equal(np.concatenate([cut.a, cut.b]), np.concatenate([exemplars.images[::2], exemplars.images[1::2]]))


# ---- a judge is new to what it judges


def saved(folder: Path, method: Any, **data: Any) -> Path:
    weights = {f'{n}.{k}': v for n in method.inference_nets for k, v in method.nets[n].state_dict().items()}
    save_model(folder, method, weights, {'data': {'kind': 'attributes', **data}})
    return folder


def test_a_judge_that_learned_from_the_scored_pictures_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    edited, judge = AGGANMulti.tiny(), AttributeClassifier.tiny()
    columns = ' '.join(dict.fromkeys((*edited.data.attributes, *judge.data.attributes)))
    root = str(celeba(tmp_path / 'set', 40, columns))
    model_of = saved(tmp_path / 'model', edited, source=root, attributes=list(edited.data.attributes), size=16, holdout=8, validation=2)
    told = {'source': root, 'attributes': list(judge.data.attributes), 'size': judge.data.size}
    new, seen = saved(tmp_path / 'new', judge, holdout=10, **told), saved(tmp_path / 'seen', judge, holdout=5, **told)
    for one in (new, seen):
        evaluate(Request(one)).card.write(one / 'card.json')
    with pytest.raises(
        ValueError, match='learned from 3 of the 8 pictures that it would judge, first 032.png: it was trained with --data.holdout 5'
    ) as caught:
        evaluate(Request(model_of, judge=seen))
    assert '\n' not in str(caught.value)
    try:  # the new one may still not read what the model edits; it is not refused
        evaluate(Request(model_of, judge=new))
    except ValueError as error:
        assert 'learned from' not in str(error)
    assert load_model(new).info['data']['holdout'] == 10
