"""Folders in every known layout, every way to get one wrong, and what `data check` says of them."""
from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retouch import toyfaces
from retouch.cli.data import render
from retouch.data.check import check_folder
from retouch.data.configs import AttributeData, DomainData, PairData
from retouch.data.images import shown_size
from retouch.data.label_files import read_table
from retouch.data.layouts import LAYOUTS, recognise
from retouch.data.sets import open_attributes, open_domains, open_pairs
from retouch.data.sheet import contact_sheet
from retouch.data.sources import (
    AttributeFolder,
    DomainFolder,
    PairFolder,
    PairItem,
    check_same_frame,
    read_attribute_folder,
    read_domain_folder,
    read_pair_folder,
    read_parsing_folder,
)


def picture(path: Path, size: tuple[int, int] = (12, 12), mode: str = 'RGB', colour: object = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (colour,) * 3 if mode == 'RGB' and isinstance(colour, int) else colour).save(path)   # type: ignore[arg-type]
    return path


def pictures(folder: Path, names: str, size: tuple[int, int] = (12, 12)) -> None:
    for name in names.split():
        picture(folder / name, size)


CELEBA = '3\nBangs Male Young\na.png -1  1  1\nb.png  1 -1  1\nc.png -1 -1 -1\n'
CSV = 'file,Smiling,Hat\na.png,1,0\nb.png,0,0\nc.png,1,1\n'


def celeba(root: Path, text: str = CELEBA) -> Path:
    pictures(root / 'img_align_celeba', 'a.png b.png c.png')
    (root / 'list_attr_celeba.txt').write_text(text)
    return root


def celeba_hq(root: Path) -> Path:
    pictures(root / 'CelebA-HQ-img', '0.jpg 1.jpg')
    (root / 'CelebAMask-HQ-attribute-anno.txt').write_text('2\nBangs Male\n0.jpg  -1 1\n1.jpg  1 1\n')
    return root


def table(root: Path, text: str = CSV, name: str = 'labels.csv') -> Path:
    pictures(root, 'a.png b.png c.png')
    (root / name).write_text(text)
    return root


def classes(root: Path) -> Path:
    pictures(root / 'angry', '1.png 2.png')
    pictures(root / 'happy', ' '.join(f'{i}.png' for i in range(4)))
    return root


def parsing(root: Path) -> Path:
    for i in range(3):
        picture(root / 'images' / f'{i}.jpg')
        picture(root / 'masks' / f'{i}.png', mode='L', colour=i)
    return root


def domains(root: Path) -> Path:
    for name, files in {'trainA': '1.jpg 2.jpg', 'trainB': '1.jpg', 'testA': '3.jpg', 'testB': '4.jpg 5.jpg'}.items():
        pictures(root / name, files)
    return root


def pairs(root: Path) -> Path:
    for name, files in {'train': '1.jpg 2.jpg 3.jpg', 'val': '4.jpg', 'test': '5.jpg 6.jpg'}.items():
        pictures(root / name, files, (16, 8))
    return root


def pairs_ab(root: Path) -> Path:
    pictures(root / 'A', ' '.join(f'{i}.jpg' for i in range(5)))
    pictures(root / 'B', ' '.join(f'{i}.png' for i in range(5)))
    return root


def rafd(root: Path) -> Path:
    pictures(root, ' '.join(f'Rafd{angle}_{person:02d}_Caucasian_female_{face}_frontal.jpg'
                            for angle in ('000', '090') for person in (1, 2) for face in ('angry', 'happy')))
    return root


MAKERS: dict[str, Callable[[Path], Path]] = {
    'celeba': celeba, 'celeba_hq': celeba_hq, 'table': table, 'classes': classes, 'parsing': parsing, 'domains': domains, 'pairs': pairs,
    'pairs_ab': pairs_ab, 'rafd': rafd,
}


def fails(words: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert '\n' not in str(caught.value)


# ---- the layouts

def test_every_layout_is_recognised_read_and_checked(tmp_path: Path) -> None:
    assert set(MAKERS) == set(LAYOUTS)
    kinds = set()
    for name, make in MAKERS.items():
        root = make(tmp_path / name)
        assert recognise(root) == name and recognise(str(root)) == name
        reader = {'domains': read_domain_folder, 'pairs': read_pair_folder, 'pairs_ab': read_pair_folder,
                  'parsing': read_parsing_folder}.get(name, read_attribute_folder)
        folder = reader(root)
        kinds.add(type(folder))
        assert folder.layout == name and folder.root == root
        report = check_folder(root)
        assert report.ok and report.layout == name and not report.errors and report.next.startswith('retouch ')
        assert sum(report.sizes.values()) == report.decoded > 0
        assert type(report).model_validate_json(report.model_dump_json()) == report
        contact_sheet(root, tmp_path / 'sheets' / f'{name}.png', 4)
        with Image.open(tmp_path / 'sheets' / f'{name}.png') as sheet:
            assert sheet.width <= 1100 and sheet.height >= 128
    assert kinds == {AttributeFolder, DomainFolder, PairFolder}


def test_celeba(tmp_path: Path) -> None:
    folder = read_attribute_folder(celeba(tmp_path))
    assert folder.names == ('Bangs', 'Male', 'Young') and [p.name for p in folder.paths] == ['a.png', 'b.png', 'c.png']
    assert folder.labels.dtype == np.uint8 and folder.labels.tolist() == [[0, 1, 1], [1, 0, 1], [0, 0, 0]]
    assert folder.convention == '-1/1' and not folder.exclusive and folder.masks is None and not folder.notes
    chosen = read_attribute_folder(tmp_path, ['Young', 'Bangs'])
    assert chosen.names == ('Young', 'Bangs') and chosen.labels.tolist() == [[1, 0], [1, 1], [0, 0]]
    picture(tmp_path / 'img_align_celeba' / 'my face.png')
    (tmp_path / 'list_attr_celeba.txt').write_text(CELEBA + 'my face.png 1 1 1\n\n')
    folder = read_attribute_folder(tmp_path)
    assert folder.paths[-1].name == 'my face.png' and 'says 3 rows; there are 4' in folder.notes[0]


@pytest.mark.parametrize(('name', 'text'), [
    ('labels.csv', '\ufefffile, Smiling, Hat\na.png, 1, -1\nb.png, -1, -1\nc.png, 1, 1\n'),
    ('labels.csv', 'Smiling;image_id;Hat\n1;a.png;0\n0;b.png;0\n1;c.png;1\n'),
    ('labels.tsv', 'picture\tSmiling\tHat\na.png\t1\t0\nb.png\t0\t0\nc.png\t1.0\t1\n'),
    ('labels.jsonl', '{"Smiling": true, "path": "a.png", "Hat": 0}\n{"path": "b.png", "Smiling": 0, "Hat": 0}\n\n'
                     '{"path": "./c.png", "Smiling": 1, "Hat": 1.0}\n'),
])
def test_tables(tmp_path: Path, name: str, text: str) -> None:
    folder = read_attribute_folder(table(tmp_path, text, name))
    assert folder.names == ('Smiling', 'Hat') and folder.labels.tolist() == [[1, 0], [0, 0], [1, 1]]
    assert [p.name for p in folder.paths] == ['a.png', 'b.png', 'c.png'] and folder.layout == 'table'


def test_a_table_may_have_other_columns_and_its_pictures_in_a_folder(tmp_path: Path) -> None:
    pictures(tmp_path / 'pics', 'a.png b.png')
    (tmp_path / 'labels.csv').write_text('file,who,Smiling\na.png,Ann,1\nb.png,Bob,0\n')
    folder = read_attribute_folder(tmp_path, ['Smiling'])
    assert folder.paths == (tmp_path / 'pics' / 'a.png', tmp_path / 'pics' / 'b.png') and folder.labels.tolist() == [[1], [0]]
    fails("labels.csv, line 2, column who: 'Ann': expected 0 or 1", lambda: read_attribute_folder(tmp_path))
    pictures(tmp_path / 'more', 'a.png')
    fails('a.png is in more/ and in pics/', lambda: read_attribute_folder(tmp_path, ['Smiling']))
    (tmp_path / 'labels.csv').write_text('file,Smiling\npics/a.png,1\nmore/a.png,0\n')
    assert read_attribute_folder(tmp_path).unlabelled == (tmp_path / 'pics' / 'b.png',)


def test_the_four_tables_of_celeba_as_csv(tmp_path: Path) -> None:
    pictures(tmp_path / 'img_align_celeba' / 'img_align_celeba', 'a.jpg b.jpg')
    (tmp_path / 'list_attr_celeba.csv').write_text('image_id,Bangs\na.jpg,-1\nb.jpg,1\n')
    for name in ('list_bbox_celeba', 'list_eval_partition', 'list_landmarks_align_celeba'):
        (tmp_path / f'{name}.csv').write_text('image_id,x\na.jpg,7\n')
    assert recognise(tmp_path) == 'table' and read_attribute_folder(tmp_path).labels.tolist() == [[0], [1]]


def test_classes_come_interleaved(tmp_path: Path) -> None:
    folder = read_attribute_folder(classes(tmp_path))
    assert folder.names == ('angry', 'happy') and folder.exclusive and folder.n_test == 0
    assert folder.labels.sum(1).tolist() == [1] * 6 and folder.labels.sum(0).tolist() == [2, 4]
    assert folder.labels[:3].sum(0).tolist() == folder.labels[3:].sum(0).tolist() == [1, 2]       # each stretch in proportion
    assert all(path.parent.name == folder.names[k] for path, k in zip(folder.paths, folder.labels.argmax(1), strict=True))
    pictures(tmp_path / 'sad', '1.png')
    assert read_attribute_folder(tmp_path, ['sad', 'angry']).labels.tolist() == [[0, 1], [1, 0], [0, 1]]
    fails('at least 2 of angry, happy, sad', lambda: read_attribute_folder(tmp_path, ['sad']))


def test_classes_with_a_test_part(tmp_path: Path) -> None:
    classes(tmp_path / 'train')
    pictures(tmp_path / 'test' / 'happy', '9.png')
    folder = read_attribute_folder(tmp_path)
    assert folder.n_test == 1 and folder.paths[-1] == tmp_path / 'test' / 'happy' / '9.png' and folder.labels[-1].tolist() == [0, 1]
    pictures(tmp_path / 'test' / 'bored', '9.png')
    fails('bored: train/ has no such class', lambda: read_attribute_folder(tmp_path))


def test_masks(tmp_path: Path) -> None:
    root = celeba(tmp_path / 'set')
    for name in 'abc':
        picture(tmp_path / 'mine' / f'{name}.png', mode='L', colour=255)
    folder = read_attribute_folder(root, masks=tmp_path / 'mine')
    assert folder.masks == tuple(tmp_path / 'mine' / f'{name}.png' for name in 'abc')
    (tmp_path / 'mine').rename(root / 'masks')
    assert read_attribute_folder(root).masks == tuple(root / 'masks' / f'{name}.png' for name in 'abc')
    (root / 'masks' / 'b.png').unlink()
    fails(r'1 of 3 pictures have no mask .* first b.png', lambda: read_attribute_folder(root))


def test_domains(tmp_path: Path) -> None:
    folder = read_domain_folder(domains(tmp_path))
    parts = (folder.train_a, folder.train_b, folder.test_a, folder.test_b)
    assert [[f'{p.parent.name}/{p.name}' for p in part] for part in parts] == [
        ['trainA/1.jpg', 'trainA/2.jpg'], ['trainB/1.jpg'], ['testA/3.jpg'], ['testB/4.jpg', 'testB/5.jpg']]
    pictures(tmp_path / 'x', ' '.join(f'{i}.JPG' for i in range(6)))
    pictures(tmp_path / 'y', '1.bmp .hidden.jpg')
    two = read_domain_folder(tmp_path / 'x', tmp_path / 'y')
    assert [len(p) for p in (two.train_a, two.test_a, two.train_b, two.test_b)] == [5, 1, 1, 0]


def test_drawn_domains_of_two_hair_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('RETOUCH_CACHE', str(tmp_path))
    opened = open_domains(DomainData(attribute='Black_Hair/Blond_Hair', size=16, load_size=None, n=40))
    images, _, labels = toyfaces.draw_set(range(40), 16, workers=1)
    for part, name in ((opened.a, 'Black_Hair'), (opened.b, 'Blond_Hair')):
        assert np.array_equal(part, images[labels[:, toyfaces.ATTRIBUTES.index(name)] == 1]) and len(part)
    for attribute, says in (('Black_Hair/Smiling', 'unknown hair colour'), ('Black_Hair/Black_Hair', 'two different hair colours')):
        with pytest.raises(ValueError, match=says):
            open_domains(DomainData(attribute=attribute, size=16, load_size=None, n=4))


def test_domains_as_two_classes(tmp_path: Path) -> None:
    root = domains(tmp_path / 'set')
    folder = read_attribute_folder(root)
    assert (folder.layout, folder.names, folder.exclusive, folder.n_test) == ('domains', ('A', 'B'), True, 3)
    assert sorted(f'{p.parent.name}/{p.name} {a}{b}' for p, (a, b) in zip(folder.paths[:3], folder.labels, strict=False)) == [
        'trainA/1.jpg 10', 'trainA/2.jpg 10', 'trainB/1.jpg 01']
    assert sorted(p.parent.name for p in folder.paths[3:]) == ['testA', 'testB', 'testB']
    assert read_attribute_folder(root, ['B', 'A']).labels[0].tolist() == folder.labels[0, ::-1].tolist()
    fails('domain B alone', lambda: read_attribute_folder(root, ['B']))
    fails("unknown attribute 'C'", lambda: read_attribute_folder(root, ['A', 'C']))
    picture(root / 'testA' / 'wide.jpg', (60, 20))
    for source, n in ((str(root), 4), (f'{root / "trainA"},{root / "trainB"}', 0)):
        opened = open_attributes(AttributeData(source=source, size=16, holdout=0), 'train')
        assert opened.images.shape == (3, 16, 16, 3) and opened.exclusive and opened.spec.attributes == ('A', 'B')
        if n:                                                    # stretched, as two-domain systems see them
            held_out = open_attributes(AttributeData(source=source, size=16), 'test')
            assert np.array_equal(held_out.images[held_out.labels[:, 0] == 1], open_domains(
                DomainData(source=source, size=16, load_size=None), 'test').a)


def test_pairs(tmp_path: Path) -> None:
    folder = read_pair_folder(pairs(tmp_path / 'one'))
    assert [len(p) for p in (folder.train, folder.val, folder.test)] == [3, 1, 2] and folder.train[0].b is None
    (tmp_path / 'one' / 'test').rename(tmp_path / 'gone')
    assert read_pair_folder(tmp_path / 'one').test == folder.val
    for two in (read_pair_folder(pairs_ab(tmp_path / 'two')), read_pair_folder(tmp_path / 'two' / 'A', tmp_path / 'two' / 'B')):
        assert len(two.train) == 4 and len(two.test) == 1 and two.layout == 'pairs_ab'
        assert all(item.b and item.a.stem == item.b.stem for item in two.train)


# ---- what is refused

def test_folders_that_are_no_set(tmp_path: Path) -> None:
    picture(tmp_path / 'a.png')
    fails('no folder .*absent', lambda: recognise(tmp_path / 'absent'))
    fails('is a file', lambda: recognise(tmp_path / 'a.png'))
    fails('holds 1 pictures and no labels', lambda: recognise(tmp_path))
    (tmp_path / 'empty').mkdir()
    fails('no known layout and holds no pictures', lambda: recognise(tmp_path / 'empty'))
    domains(tmp_path / 'outer' / 'summer')
    fails("did you mean '.*outer/summer'", lambda: recognise(tmp_path / 'outer'))


@pytest.mark.parametrize(('name', 'remove', 'words'), [
    ('celeba', 'list_attr_celeba.txt', 'nearest is celeba .*no list_attr_celeba.txt'),
    ('celeba', 'img_align_celeba', 'nearest is celeba .*no pictures in img_align_celeba/'),
    ('celeba_hq', 'CelebA-HQ-img', 'nearest is celeba_hq .*no pictures in CelebA-HQ-img/'),
    ('classes', 'angry', 'nearest is classes .*only one folder with pictures, happy/'),
    ('parsing', 'masks', 'nearest is parsing .*no pictures in masks/'),
    ('domains', 'trainB', 'nearest is domains .*no trainB/'),
    ('pairs', 'train', 'nearest is pairs .*no pictures in train/'),
    ('pairs_ab', 'B', 'nearest is pairs_ab .*no pictures in B/'),
])
def test_the_nearest_layout_is_named(tmp_path: Path, name: str, remove: str, words: str) -> None:
    root = MAKERS[name](tmp_path / 'set')
    (root / remove).rename(tmp_path / 'removed')
    fails(words, lambda: recognise(root))
    fails(words, lambda: check_folder(root))


def test_ambiguous_sets(tmp_path: Path) -> None:
    fails('ambiguous: it fits domains .* and classes', lambda: recognise(classes(domains(tmp_path / '1'))))
    fails('ambiguous: label files labels.csv, more.jsonl', lambda: recognise(table(table(tmp_path / '2'), '{}', 'more.jsonl')))
    fails('ambiguous: label files list_attr_celeba.txt, labels.csv', lambda: recognise(table(celeba(tmp_path / '3'))))
    fails('ambiguous: it fits celeba .* and pairs', lambda: recognise(pairs(celeba(tmp_path / '4'))))
    classes(tmp_path / '5')
    fails('ambiguous: class folders in train/ and beside it', lambda: recognise(classes(tmp_path / '5' / 'train').parent))


@pytest.mark.parametrize(('text', 'words'), [
    (CELEBA + 'd.png 1 1 1\ne.png 1 1 1\n', r'line 6: no picture d.png .*\(2 of 5 rows'),
    (CELEBA + 'd.png 1 1\n', 'line 6: 2 labels: expected 3'),
    (CELEBA + 'd.png 1 1 1 1\n', 'line 6: 4 labels: expected 3'),
    (CELEBA.replace('b.png  1 -1', 'b.png  1 2'), "line 4, column Male: '2': expected 0 or 1"),
    (CELEBA.replace('b.png  1 -1', 'b.png  1  0'), r'mixes 0 \(line 4, column Male\) and -1 \(line 3, column Bangs\)'),
    (CELEBA + 'a.png 1 1 1\n', 'line 6: a.png has a row already, line 3'),
    (CELEBA.removeprefix('3\n'), "line 1: 'Bangs Male Young': expected CelebA's format"),
    (CELEBA.replace('Male', 'Bangs'), "column 'Bangs' appears twice"),
    ('0\nBangs\n\n', 'no rows'),
    ('', "line 1: '': expected CelebA's format"),
])
def test_wrong_label_files(tmp_path: Path, text: str, words: str) -> None:
    root = celeba(tmp_path, text)
    fails(words, lambda: read_attribute_folder(root))
    report = check_folder(root)
    assert not report.ok and len(report.errors) == 1 and report.decoded == 3 and 'not ok' in render(report)


@pytest.mark.parametrize(('name', 'text', 'words'), [
    ('labels.csv', CSV + 'd.png,1\n', 'line 5: 1 labels: expected 2'),
    ('labels.csv', CSV.replace('b.png,0', 'b.png,yes'), "line 3, column Smiling: 'yes'"),
    ('labels.csv', 'file\na.png\n', 'no label columns'),
    ('labels.csv', 'file,Smiling\n', '1 lines: expected a header'),
    ('labels.jsonl', '{"file": "a.png", "Hat": 1}\n{"file": \n', 'line 2: .*expected one JSON object per line'),
    ('labels.jsonl', '[1, 2]\n', 'line 1: list: expected an object'),
    ('labels.jsonl', '{"file": "a.png", "Hat": 1}\n{"file": "b.png"}\n', 'line 2: 0 labels: expected 1'),
    ('labels.jsonl', '{"file": "a.png", "Hat": 1}\n{"file": "b.png", "Cap": 1}\n', 'line 2: fields file, Cap: expected .*file, Hat'),
    ('labels.jsonl', '\n', 'no lines'),
])
def test_wrong_tables(tmp_path: Path, name: str, text: str, words: str) -> None:
    fails(words, lambda: read_attribute_folder(table(tmp_path, text, name)))


def test_a_table_that_is_no_text(tmp_path: Path) -> None:
    (table(tmp_path) / 'labels.csv').write_bytes(b'file,Hat\na.png,\xff\n')
    fails('byte 15 is not UTF-8', lambda: read_attribute_folder(tmp_path))


def test_unknown_attributes_and_the_wrong_kind_of_set(tmp_path: Path) -> None:
    root = celeba(tmp_path / '1')
    fails("unknown attribute 'Yong': did you mean 'Young'", lambda: read_attribute_folder(root, ['Bangs', 'Yong']))
    fails('expected each name once', lambda: read_attribute_folder(root, ['Bangs', 'Bangs']))
    fails('laid out as celeba .*expected trainA', lambda: read_domain_folder(root))
    fails('laid out as celeba .*expected train/', lambda: read_pair_folder(root))
    fails('laid out as pairs .*expected pictures with attributes', lambda: read_attribute_folder(pairs(tmp_path / '2')))
    fails('pictures and masks but no labels', lambda: read_attribute_folder(parsing(tmp_path / '3')))


def test_a_pair_of_two_shapes_is_refused(tmp_path: Path) -> None:
    root = pairs_ab(tmp_path)
    picture(root / 'B' / '2.png', (12, 6))
    data = PairData(source=str(root), size=8, load_size=None)
    fails(r'A/2.jpg is \d+ x \d+ px, its partner .*B/2.png 12 x 6 px: expected the same scene', lambda: open_pairs(data, 'train'))
    picture(root / 'B' / '2.png', (64, 64))                     # the same frame in another resolution
    assert open_pairs(data, 'train').b.shape == (4, 8, 8, 3)


def test_a_pair_may_be_turned_by_its_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, size in {'A': (6, 12), 'B': (12, 6)}.items():
        (tmp_path / name).mkdir()
        Image.new('RGB', size).save(tmp_path / name / '1.jpg', exif=exif if name == 'A' else Image.Exif())
    check_same_frame([PairItem(tmp_path / 'A' / '1.jpg', tmp_path / 'B' / '1.jpg'), PairItem(tmp_path / 'absent.jpg', None)])
    assert shown_size(tmp_path / 'A' / '1.jpg') == (12, 6)


def test_side_by_side_files_are_measured_as_they_are_shown(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / 'train').mkdir()
    Image.new('RGB', (8, 16)).save(tmp_path / 'train' / '1.jpg', exif=exif)             # lies on its side, and is shown 16 x 8
    assert recognise(tmp_path) == 'pairs'
    assert open_pairs(PairData(source=str(tmp_path), size=8, load_size=None)).b.shape == (1, 8, 8, 3)


def test_one_folder_is_not_two(tmp_path: Path) -> None:
    pictures(tmp_path / 'a', ' '.join(f'{i}.jpg' for i in range(5)))
    (tmp_path / 'link').symlink_to(tmp_path / 'a')
    for other in (tmp_path / 'a', tmp_path / 'b' / '..' / 'a', tmp_path / 'link'):
        (tmp_path / 'b').mkdir(exist_ok=True)
        fails('are one folder: expected one of domain A and another', lambda other=other: read_domain_folder(tmp_path / 'a', other))   # type: ignore[misc]
        fails('are one folder: expected one of domain A and another', lambda other=other: read_pair_folder(tmp_path / 'a', other))     # type: ignore[misc]


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    root = domains(tmp_path / 'set')
    shutil.rmtree(root / 'testB')
    data = DomainData(source=str(root), size=8, load_size=None)
    fails(r'no test pictures of domain B: expected testB/', lambda: open_domains(data, 'test'))
    assert len(open_domains(data, 'train').b) == 1
    pairs(tmp_path / 'pairs')
    for name in ('val', 'test'):
        shutil.rmtree(tmp_path / 'pairs' / name)
    fails('no test pairs: expected a test/', lambda: open_pairs(PairData(source=str(tmp_path / 'pairs'), size=8, load_size=None), 'test'))


def test_empty_domains_and_unequal_pairs(tmp_path: Path) -> None:
    root = domains(tmp_path / '1')
    (root / 'testA' / '3.jpg').unlink()
    fails('testA holds no pictures: expected the pictures of domain A', lambda: read_domain_folder(root))
    (root / 'trainB' / '1.jpg').unlink()
    fails('trainB holds no pictures', lambda: read_domain_folder(root))
    (tmp_path / 'none').mkdir()
    fails('none holds no pictures', lambda: read_domain_folder(root / 'trainA', tmp_path / 'none'))
    root = pairs_ab(tmp_path / '2')
    (root / 'B' / '3.png').unlink()
    fails('5 pictures in .*A, 4 in .*B, 3 is only in .*A: expected equal names', lambda: read_pair_folder(root))
    picture(root / 'B' / '9.png')
    fails('3 is only in', lambda: read_pair_folder(root / 'A', root / 'B'))
    picture(pairs(tmp_path / '3') / 'train' / '1.jpg', (20, 8))
    fails('20 x 8 px: expected width = 2 x height', lambda: read_pair_folder(tmp_path / '3'))


# ---- the check

def test_check_lists_what_is_wrong(tmp_path: Path) -> None:
    root = celeba(tmp_path)
    picture(root / 'img_align_celeba' / 'extra.png', (30, 20))
    report = check_folder(root)
    assert report.ok and report.counts == {'pictures': 3} and report.convention == '-1/1'
    assert report.unlabelled == [str(root / 'img_align_celeba' / 'extra.png')]
    assert report.balance == pytest.approx({'Bangs': 1 / 3, 'Male': 1 / 3, 'Young': 2 / 3}, abs=1e-4)
    data = (root / 'img_align_celeba' / 'b.png').read_bytes()
    (root / 'img_align_celeba' / 'b.png').write_bytes(data[:-20])
    (root / 'img_align_celeba' / 'c.png').write_bytes(b'')
    report = check_folder(root)
    assert not report.ok and len(report.unreadable) == 2 and report.sizes == {'12 x 12': 1} and report.decoded == 3
    assert 'b.png: damaged' in report.unreadable[0] and 'c.png: empty file' in report.unreadable[1]
    text = render(report)
    assert 'b.png' in text and 'extra.png' in text and '33.33%' in text and 'not ok' in text and text.splitlines()[-1].startswith('next: ')
    assert len(check_folder(root, decode=False).unreadable) == 1                       # the header of b.png is whole
    assert check_folder(root, limit=1).decoded == 1
    contact_sheet(root, tmp_path / 'sheet.png')
    fails('expected at least 1', lambda: contact_sheet(root, tmp_path / 'sheet.png', 0))


def test_check_counts_classes_and_parts(tmp_path: Path) -> None:
    assert check_folder(classes(tmp_path / '1')).counts == {'angry': 2, 'happy': 4}
    assert check_folder(domains(tmp_path / '2')).counts == {'trainA': 2, 'trainB': 1, 'testA': 1, 'testB': 2}
    assert check_folder(pairs(tmp_path / '3')).counts == {'train pairs': 3, 'val pairs': 1, 'test pairs': 2}
    assert check_folder(pairs_ab(tmp_path / '4')).counts == {'train pairs': 4, 'test pairs': 1}
    picture(tmp_path / '3' / 'test' / '6.jpg', (9, 8))
    report = check_folder(tmp_path / '3')
    assert not report.ok and '6.jpg: 9 x 8 px' in report.errors[0]
    picture(tmp_path / '2' / 'trainA' / '1.jpg', (20, 12))
    picture(tmp_path / '1' / 'happy' / '9.jpg', (20, 12))
    assert check_folder(tmp_path / '2').warnings == ['2 sizes, from 12 x 12 to 20 x 12 px: each picture is resized whole, whatever its '
                                                     'aspect']
    assert 'each picture is cut to its centre, then resized' in check_folder(tmp_path / '1').warnings[0]
    picture(tmp_path / '4' / 'B' / '2.png', (24, 12))
    assert '1 pairs of different aspect, first 2: 12 x 12 px and 24 x 12 px' in check_folder(tmp_path / '4').errors[0]


def test_check_warns_of_labels_that_teach_nothing(tmp_path: Path) -> None:
    pictures(tmp_path, ' '.join(f'{i}.bmp' for i in range(100)), (2, 2))
    rows = [f'{i}.bmp,0,{int(i < 50)},{i % 2}' for i in range(100)]
    (tmp_path / 'labels.csv').write_text('\n'.join(['file,Never,Sorted,Fine', *rows]))
    report = check_folder(tmp_path)
    assert report.ok and len(report.warnings) == 2
    assert report.warnings[0].startswith('Never is 1 for 0.00%') and report.warnings[1].startswith('Sorted is 0 in all of the last 20')
    assert report.next.endswith('--data.attributes Sorted,Fine')


def test_check_reads_masks(tmp_path: Path) -> None:
    root = parsing(tmp_path)
    report = check_folder(root)
    assert report.masks and report.masks.kind == 'class ids' and report.masks.ids == [0, 1, 2] and report.masks.n == report.masks.read == 3
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new('RGB', (24, 12)).save(root / 'images' / '2.jpg', exif=turned)             # shown 12 x 24
    picture(root / 'masks' / '2.png', (12, 24), 'L', 2)
    assert not any('another shape' in warning for warning in check_folder(root).warnings)
    picture(root / 'images' / '2.jpg')
    picture(root / 'masks' / '2.png', mode='L', colour=2)
    for i in range(3):
        mask = np.zeros((12, 12), np.uint8)
        mask[:3 + 6 * (i > 0)] = 255
        Image.fromarray(mask).save(root / 'masks' / f'{i}.png')
    report = check_folder(root)
    assert report.masks and report.masks.kind == 'binary' and report.masks.white == pytest.approx(7 / 12, abs=1e-4)
    assert 'invert' in report.warnings[0] and '58.3% white' in render(report)
    Image.fromarray(np.arange(144, dtype=np.uint8).reshape(12, 12)).save(root / 'masks' / '0.png')
    picture(root / 'masks' / '1.png', (24, 12), 'L')
    report = check_folder(root)
    assert report.masks and report.masks.kind == 'soft' and '1.png is 24 x 12 px' in report.warnings[1]
    picture(root / 'masks' / '2.png', colour=(255, 0, 0))
    assert check_folder(root).masks.kind == 'colour'                                   # type: ignore[union-attr]
    (root / 'masks' / '2.png').write_bytes(b'x')
    report = check_folder(root)
    assert not report.ok and '2.png' in report.unreadable[0]


def test_the_next_command_fits_the_pictures(tmp_path: Path) -> None:
    for i in range(2):
        picture(tmp_path / 'my set' / 'trainA' / f'{i}.jpg', (130, 140))
        picture(tmp_path / 'my set' / 'trainB' / f'{i}.jpg', (130, 140))
    report = check_folder(tmp_path / 'my set')
    assert report.next == f"retouch train cyclegan.paper --data '{tmp_path}/my set' --data.size 128 --data.load-size 143"
    assert any('no test part' in warning for warning in report.warnings)


def test_json_has_only_plain_values(tmp_path: Path) -> None:
    report = json.loads(check_folder(table(tmp_path)).model_dump_json())
    assert report['layout'] == 'table' and report['smallest'] == [12, 12] and report['ok'] is True


def test_reading_a_folder_needs_no_torch() -> None:
    code = 'import sys, retouch.data.sources; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


@pytest.mark.real_data
def test_real_sets_are_recognised(real_data: Path) -> None:
    for name, layout in {'celeba_89x109': 'celeba', 'celeba_178x218': 'celeba', 'celebamask_hq_mini': 'parsing', 'facades': 'pairs',
                         'summer2winter_128': 'domains'}.items():
        report = check_folder(real_data / name, limit=20)
        assert report.layout == layout and report.ok, report.errors
    folder = read_attribute_folder(real_data / 'celeba_178x218', ['Male', 'Smiling'])
    assert folder.labels.shape == (len(folder.paths), 2) and 0.3 < folder.labels[:, 0].mean() < 0.6


@pytest.mark.parametrize(('name', 'text', 'words'), [
    ('labels.csv', 'file,a\n' + 'x' * 2 ** 18 + ',1', r'line 2: field larger than field limit .*: expected cells of a few characters'),
    ('labels.csv', 'file,a\n"00.png,1' + '\nx' * 2 ** 17, r'line \d+: field larger .*; is a quote left open\?'),
    ('labels.jsonl', '[' * 100_000, r'line 1: maximum recursion depth .*: expected one JSON object per line'),
    ('labels.jsonl', '{"file": "a.png", "b": ' + '1' * 10_000 + '}', r'line 1: Exceeds the limit .*: expected one JSON object per line'),
])
def test_cells_and_objects_that_no_reader_takes(name: str, text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words):
        read_table(tmp_path / name, None)


def test_a_hundred_thousand_columns_are_read_in_order(tmp_path: Path) -> None:
    n = 100_000                                                  # a search of every column for every column took minutes
    header, row = (','.join(cells) for cells in (map('c{}'.format, range(n)), (str(i % 2) for i in range(n))))
    (tmp_path / 'labels.csv').write_text(f'file,{header}\n00.png,{row}')
    names, rows = read_table(tmp_path / 'labels.csv', None)
    assert names == tuple(f'c{i}' for i in range(n)) and rows == [(2, '00.png', [str(i % 2) for i in range(n)])]
    assert read_table(tmp_path / 'labels.csv', ('c7', 'c2')) == (('c7', 'c2'), [(2, '00.png', ['1', '0'])])
