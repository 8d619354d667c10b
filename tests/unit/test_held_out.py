"""Which pictures of a folder are scored: its held-out part, its test part whole, or all of a set that nothing was trained on."""
from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from retouch.data.batches import DataSpec
from retouch.data.configs import AttributeData, DomainData, PairData, ParsingData
from retouch.data.sets import open_attributes, open_domains, open_pairs, open_parsing
from retouch.evaluation.card import Card, CardData, Checkpoint
from retouch.evaluation.comparison import cards_to_comparison
from retouch.evaluation.held_out import held_out, held_out_of_domains, held_out_parses, held_out_partners, part_of, pictures_of
from retouch.evaluation.provenance import pairs_to_hash
from retouch.metrics.measure import Measure
from tests.unit.test_sources import picture, pictures


def model(source: str | Path | None = None, kind: str = 'attributes', **spec: Any) -> Any:
    return SimpleNamespace(info={'data': {} if source is None else {'source': str(source)}}, data=DataSpec(size=8, **spec),
                           method=SimpleNamespace(kind=kind))


def silent(done: int, total: int, what: str) -> None:
    pass


def shades(folder: Path, n: int, first: int = 0) -> Path:
    """n pictures whose grey is their number: first, first + 1 …"""
    for i in range(n):
        picture(folder / f'{i:03d}.png', colour=first + i)
    return folder


def numbers(images: np.ndarray) -> list[int]:
    return images[:, 0, 0, 0].tolist()


def table(root: Path, n: int) -> Path:
    shades(root, n)
    (root / 'labels.csv').write_text('\n'.join(['file,Hat', *(f'{i:03d}.png,{i % 2}' for i in range(n))]))
    return root


# ---- which part

@pytest.mark.parametrize(('trained', 'given', 'part'), [
    (None, 'other', 'whole'), ('toyfaces', 'other', 'whole'), ('set', 'other', 'whole'), ('set', 'set', 'test'),
    ('set', 'set/', 'test'), ('set', 'set/trainA,set/trainB', 'test'), ('set', 'set/testA,set/testB', 'whole'),
    ('set', 'set/test', 'whole'),
    ('set/trainA,set/trainB', 'set', 'test'), ('set/trainA,set/trainB', 'set/testA,set/testB', 'whole'),
    ('set/trainA,set/trainB', 'set/trainA,other', 'test'), ('gone/other', 'other', 'test'), ('gone/set', 'other', 'whole'),
    ('set', 'toyfaces', 'whole'), ('other', 'link', 'test')])
def test_what_was_trained_on_is_known_by_where_it_lies(trained: str | None, given: str, part: str, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ('set/trainA', 'set/trainB', 'set/testA', 'set/testB', 'set/test', 'other'):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / 'link').symlink_to(tmp_path / 'other')
    assert part_of(given, model(trained)) == part
    assert part_of(given, model('elsewhere'), model(trained), None) == part                # a judge counts as well


# ---- two folders, named for evaluation

def test_two_folders_of_pairs_are_scored_whole(tmp_path: Path) -> None:
    """Ten pairs given: two are held out of a set that was trained on, all ten are scored of another."""
    a, b = shades(tmp_path / 'a', 10), shades(tmp_path / 'b', 10, 100)
    source, fresh, trained = f'{a},{b}', model(kind='pairs', domains=('A', 'B')), model(f'{a},{b}', kind='pairs', domains=('A', 'B'))
    for system, wanted in ((trained, [8, 9]), (fresh, list(range(10)))):
        given, partners = held_out_partners(system, source, None, 0, silent, part_of(source, system))
        assert numbers(given) == wanted and numbers(partners) == [100 + i for i in wanted]
    assert numbers(held_out_partners(fresh, source, 4, 0, silent, 'whole')[0]) == [0, 1, 2, 3]             # --n 4
    assert len(open_pairs(PairData(source=source, size=8, load_size=None)).a) == 8                         # training is as it was
    (tmp_path / 'ab').mkdir()
    for name, folder in (('A', a), ('B', b)):
        shutil.copytree(folder, tmp_path / 'ab' / name)
    assert numbers(held_out_partners(fresh, str(tmp_path / 'ab'), None, 0, silent, 'whole')[0]) == list(range(10))


def test_two_folders_of_domains_are_scored_whole(tmp_path: Path) -> None:
    a, b = shades(tmp_path / 'set' / 'testA', 6), shades(tmp_path / 'set' / 'testB', 4, 100)
    for name in ('trainA', 'trainB'):
        shades(tmp_path / 'set' / name, 3, 200)
    system = model(tmp_path / 'set', kind='domains')
    for source in (f'{a},{b}', str(tmp_path / 'set')):           # by themselves, and as the test part of their set
        images, labels = held_out_of_domains(system, source, None, silent, part_of(source, system))
        assert numbers(images) == [0, 100, 1, 101, 2, 102, 3, 103, 4, 5] and labels[:, 1].sum() == 4
    assert numbers(held_out_of_domains(system, str(tmp_path / 'set'), 4, silent)[0]) == [0, 100, 1, 101]
    for name in ('trainA', 'trainB'):
        shutil.rmtree(tmp_path / 'set' / name)                   # testA and testB alone are all that scoring needs
    assert len(open_domains(DomainData(source=str(tmp_path / 'set'), size=8, load_size=None), 'whole').a) == 6
    classes = open_attributes(AttributeData(source=f'{a},{b}', size=8), 'whole')
    assert classes.images.shape[0] == 10 and classes.labels.sum(0).tolist() == [6, 4]


# ---- one folder

def test_a_table_of_another_set_is_scored_whole(tmp_path: Path) -> None:
    root = table(tmp_path / 'set', 10)
    for system, wanted in ((model(root, attributes=('Hat',)), [8, 9]), (model(attributes=('Hat',)), list(range(10)))):
        images, labels = held_out(system, str(root), {}, None, 0, silent, part=part_of(str(root), system))
        assert numbers(images) == wanted and labels[:, 0].tolist() == [i % 2 for i in wanted]
    small = table(tmp_path / 'small', 9)
    with pytest.raises(ValueError, match='small has 1 held-out pictures: expected at least 2'):
        held_out(model(small, attributes=('Hat',)), str(small), {}, None, 0, silent)


def test_a_test_folder_of_classes_is_scored_whole_and_alone(tmp_path: Path) -> None:
    for name in ('angry', 'happy'):
        shades(tmp_path / 'set' / 'train' / name, 10)
        shades(tmp_path / 'set' / 'test' / name, 300, 0 if name == 'angry' else 1)
    system = model(tmp_path / 'set', attributes=('angry', 'happy'))
    for source in ('set', 'set/test'):
        given = str(tmp_path / source)
        images, labels = held_out(system, given, {}, None, 0, silent, part=part_of(given, system))
        assert len(images) == 600 and labels.sum(0).tolist() == [300, 300]
    shutil.rmtree(tmp_path / 'set' / 'train')
    assert len(open_attributes(AttributeData(source=str(tmp_path / 'set'), size=8), 'whole').images) == 600


def test_side_by_side_files_of_a_test_folder_alone(tmp_path: Path) -> None:
    pictures(tmp_path / 'test', ' '.join(f'{i}.png' for i in range(5)), (16, 8))
    assert len(open_pairs(PairData(source=str(tmp_path), size=8, load_size=None), 'whole').a) == 5


def test_parses_of_another_set_are_scored_whole(tmp_path: Path) -> None:
    for i in range(10):
        picture(tmp_path / 'images' / f'{i}.png')
        picture(tmp_path / 'masks' / f'{i}.png', mode='L', colour=13)                       # hair
    for system, n in ((model(tmp_path), 1), (model(), 10)):
        assert len(held_out_parses(system, str(tmp_path), {}, None, 0, silent, part_of(str(tmp_path), system)).images) == n
    assert len(open_parsing(ParsingData(source=str(tmp_path), size=8)).images) == 9


# ---- cards

def test_the_pictures_of_a_card_are_those_that_were_scored(tmp_path: Path) -> None:
    a, b = shades(tmp_path / 'a', 10), shades(tmp_path / 'b', 10, 100)
    system = model(f'{a},{b}', kind='pairs', domains=('A', 'B'))
    for split, n in (('held-out', 2), ('whole', 10)):
        part: Any = 'whole' if split == 'whole' else 'test'
        digest = pairs_to_hash(*held_out_partners(system, f'{a},{b}', None, 0, silent, part))
        card = Card(protocol='pairs', data=CardData(source=f'{a},{b}', split=split, hash=digest, size=8, attributes=('to=B',)), n=n, seed=0,
                    checkpoint=Checkpoint(rule='last'), hardware='a machine', versions={}, measures={})
        shown = pictures_of(system, card, silent)
        assert isinstance(shown, tuple) and len(shown[0]) == n


def test_cards_of_the_same_test_pictures_compare_whoever_trained_on_the_set() -> None:
    def card(split: str, digest: str) -> Card:
        return Card(protocol='folder', data=CardData(source='set', split=split, hash=digest, size=8, attributes=('Hat',)), n=4, seed=0,
                    checkpoint=Checkpoint(rule='last'), hardware='a machine', versions={}, measures={'edit_accuracy': Measure(value=0.5)})

    assert set(cards_to_comparison({'a': card('held-out', 'x'), 'b': card('whole', 'x')}).rows) == {'a', 'b'}
    with pytest.raises(ValueError, match='b has split whole, a has held-out'):
        cards_to_comparison({'a': card('held-out', 'x'), 'b': card('whole', 'y')})
