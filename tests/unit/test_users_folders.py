"""Folders as users have them: other kinds of pictures, leftovers of systems, near misses, official downloads as they are handed out."""
from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from retouch.cli.data import render
from retouch.data.check import Report, check_folder
from retouch.data.configs import AttributeData, ParsingData
from retouch.data.images import IMAGE_SUFFIXES, opened
from retouch.data.layouts import SYSTEM, class_folders, images_under, recognise
from retouch.data.parsing import IDS, TWELVE, parts_to_ids
from retouch.data.sets import open_attributes, open_parsing
from retouch.data.sheet import contact_sheet
from retouch.data.sources import read_attribute_folder, read_parsing_folder
from tests.unit.test_sources import CELEBA, celeba, classes, domains, fails, pairs, parsing, picture, pictures, table


def unused(report: Report) -> dict[str, list[str]]:
    return {some.reason: some.files for some in report.unused}


# ---- kinds of pictures

def test_what_pillow_decodes_here_is_a_picture(tmp_path: Path) -> None:
    """A table of pictures of every kind that people have is read whole; each kind is there if this Pillow was built with it."""
    built = features.get_supported()
    codecs = {'avif': 'avif', 'jp2': 'jpg_2000', 'webp': 'webp'}
    kinds = [kind for kind in ('tif', 'tiff', 'gif', 'jfif', 'bmp', 'ppm', 'tga', 'jpg', 'JPG', 'png', *codecs)
             if kind not in codecs or codecs[kind] in built]
    assert IMAGE_SUFFIXES == tuple(sorted(IMAGE_SUFFIXES)) and {f'.{kind.lower()}' for kind in kinds} <= {*IMAGE_SUFFIXES}
    assert not {'.eps', '.ps', '.wmf', '.h5', '.mpg', '.ico', '.heic', '.dng', '.pdf'} & {*IMAGE_SUFFIXES}
    for kind in kinds:
        picture(tmp_path / f'of-{kind}.{kind}')
    (tmp_path / 'labels.csv').write_text('\n'.join(['file,Hat', *(f'of-{kind}.{kind},{i % 2}' for i, kind in enumerate(kinds))]))
    report = check_folder(tmp_path)
    assert report.ok and report.counts == {'pictures': len(kinds)} and report.decoded == len(kinds) and not report.unused
    assert open_attributes(AttributeData(source=str(tmp_path), size=12, holdout=0)).images.min() > 80       # 90 as it was painted
    for path in tmp_path.iterdir():
        if path.suffix != '.csv':
            with opened(path) as image:
                image.load()


def test_what_pillow_cannot_read_is_listed_with_the_reason(tmp_path: Path) -> None:
    root = table(tmp_path)
    for name in ('a.heic', 'b.HEIC', 'c.heif', 'd.heic', 'e.CR2', 'clip.mov', 'old.zip', 'notes.txt'):
        (root / name).write_bytes(b'x')
    report = check_folder(root)
    assert report.ok and unused(report) == {
        'HEIC pictures, which Pillow reads with a plugin only: save them as jpg or png': ['a.heic', 'b.HEIC', 'c.heif', 'd.heic'],
        'raw pictures of a camera: develop them to jpg or png': ['e.CR2'], 'videos: save their frames as pictures': ['clip.mov'],
        'archives: unpack them': ['old.zip'],
        'no pictures (jpg, png, webp, tif, gif, bmp, avif, jp2, …) and no label file of the set': ['notes.txt']}
    lines = render(report).splitlines()
    assert ('not used: 4, HEIC pictures, which Pillow reads with a plugin only: save them as jpg or png: a.heic, b.HEIC, c.heif '
            'and 1 more') in lines
    assert lines[-2] == 'ok, without 8 files and folders that are not used'


# ---- everything is counted

def test_a_set_without_leftovers_is_ok_alone(tmp_path: Path) -> None:
    for name, make in {'table': table, 'celeba': celeba, 'domains': domains, 'classes': classes, 'parsing': parsing}.items():
        report = check_folder(make(tmp_path / name))
        assert report.unused == [] and render(report).splitlines()[-2] == 'ok', name


def test_val_nested_and_empty_class_folders_are_named(tmp_path: Path) -> None:
    classes(tmp_path / 'train')
    pictures(tmp_path / 'val' / 'happy', '1.png 2.png')
    pictures(tmp_path / 'test' / 'happy', '9.png 10.png')
    pictures(tmp_path / 'train' / 'happy' / 'more', 'x.png')
    (tmp_path / 'train' / 'sad').mkdir()
    picture(tmp_path / 'stray.png')
    report = check_folder(tmp_path)
    assert report.ok and report.counts == {'angry': 2, 'happy': 6, 'of these in test/': 2}
    assert unused(report) == {
        'val/ is neither trained on nor scored: move its pictures to train or test': ['val/happy/1.png', 'val/happy/2.png'],
        'in a folder inside a class: move them up into the class': ['train/happy/more/x.png'],
        'empty folders': ['train/sad/'], 'pictures where layout classes has none': ['stray.png']}
    assert sum(some.n for some in report.unused) == 5


def test_what_other_layouts_pass_over_is_named(tmp_path: Path) -> None:
    root = pairs(tmp_path / 'pairs')
    assert unused(check_folder(root)) == {'val/ is neither trained on nor scored: move its pictures to train or test': ['val/4.jpg']}
    root = domains(tmp_path / 'domains')
    pictures(root / 'valA', '1.jpg')
    assert [*unused(check_folder(root)).values()] == [['valA/1.jpg']]
    root = parsing(tmp_path / 'parsing')
    picture(root / 'masks' / '9.png', mode='L', colour=1)
    assert unused(check_folder(root)) == {'masks of no picture': ['masks/9.png']}


def test_links_are_followed_once_and_broken_ones_named(tmp_path: Path) -> None:
    pictures(tmp_path / 'elsewhere', 'a.png b.png c.png')
    root = tmp_path / 'set'
    root.mkdir()
    (root / 'labels.csv').write_text('file,Smiling\na.png,1\nb.png,0\nc.png,1\n')
    (root / 'pics').symlink_to(tmp_path / 'elsewhere')
    (root / 'again').symlink_to(tmp_path / 'elsewhere')
    (root / 'round').symlink_to(tmp_path)                        # holds the set itself
    (root / 'gone.png').symlink_to(tmp_path / 'nowhere.png')
    assert recognise(root) == 'table' and list(images_under(root)) == [root / 'again']
    report = check_folder(root)
    assert report.ok and report.counts == {'pictures': 3} and unused(report) == {'links to nothing, or no files': ['gone.png']}


@pytest.mark.parametrize('name', ['@eaDir', '$RECYCLE.BIN', '__MACOSX', 'lost+found', '.thumbnails'])
def test_folders_of_systems_are_neither_classes_nor_pictures(name: str, tmp_path: Path) -> None:
    assert name.startswith('.') or name.lower() in SYSTEM
    root = classes(tmp_path / 'set')
    pictures(root / name, '1.png')
    pictures(root / 'happy' / name, '2.png')
    assert [p.name for p in class_folders(root)] == ['angry', 'happy']
    report = check_folder(root)
    assert report.ok and report.counts == {'angry': 2, 'happy': 4}
    assert unused(report) == {"hidden, or a system's own": [f'{name}/', f'happy/{name}/']}
    root = table(tmp_path / 'table')
    pictures(root / name, 'a.png')                               # a second a.png: which one would a table mean?
    assert read_attribute_folder(root).unlabelled == ()


# ---- near misses

@pytest.mark.parametrize(('names', 'renamed'), [
    ('train_A train_B test_A test_B', 'test_A to testA, test_B to testB, train_A to trainA, train_B to trainB'),
    ('TrainA TrainB', 'TrainA to trainA, TrainB to trainB'),
    ('train-a trainB', 'train-a to trainA'),
    ('A/train B/train A/test B/test', 'A/test to testA, A/train to trainA, B/test to testB, B/train to trainB'),
    ('train/A train/B', 'train/A to trainA, train/B to trainB'),
    ('trainA trainB test_A test_B', 'test_A to testA, test_B to testB'),
])
def test_folders_named_nearly_as_two_domains(names: str, renamed: str, tmp_path: Path) -> None:
    for name in names.split():
        pictures(tmp_path / name, '1.png 2.png')
    with pytest.raises(ValueError) as caught:
        check_folder(tmp_path)
    assert str(caught.value) == f'{tmp_path} looks like two domains (trainA/ trainB/ [testA/ testB/]): rename {renamed}'


def test_letters_are_classes_where_there_are_more_than_two(tmp_path: Path) -> None:
    for name in 'ABC':
        pictures(tmp_path / 'train' / name, '1.png')
    assert read_attribute_folder(tmp_path).names == ('A', 'B', 'C')
    pictures(tmp_path / 'other' / 'Images', '1.jpg')
    fails('rename Images/ to images/', lambda: recognise(tmp_path / 'other'))


# ---- official downloads

def test_celeba_as_it_is_handed_out(tmp_path: Path) -> None:
    root = tmp_path / 'CelebA'
    pictures(root / 'Img' / 'img_align_celeba', 'a.png b.png c.png')
    for name, text in {'Anno/list_attr_celeba.txt': CELEBA, 'Anno/identity_CelebA.txt': 'a.png 1\n',
                       'Eval/list_eval_partition.txt': 'a.png 0\n', 'README.txt': 'CelebA'}.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    folder = read_attribute_folder(root, ['Young'])
    assert folder.layout == 'celeba' and folder.labels.tolist() == [[1], [1], [0]]
    assert folder.paths == tuple(root / 'Img' / 'img_align_celeba' / f'{name}.png' for name in 'abc')
    report = check_folder(root)
    assert report.ok and report.counts == {'pictures': 3}
    assert [*unused(report).values()] == [['README.txt', 'Anno/identity_CelebA.txt', 'Eval/list_eval_partition.txt']]
    assert open_attributes(AttributeData(source=str(root), size=8, holdout=0)).images.shape == (3, 8, 8, 3)
    for name in ('Anno', 'Img'):
        fails('did you mean .*CelebA', lambda name=name: recognise(root / name))          # type: ignore[misc]
    fails('did you mean .*CelebA', lambda: recognise(tmp_path))


def celebamask(root: Path, n: int = 12, size: int = 8, mode: str = 'RGB') -> Path:
    """n pictures of 2 x size px and their parts: skin everywhere but in row 0, hair in rows 1 and 2, an eye in row 2, a lip in row 4."""
    rows = []
    for i in range(n):
        picture(root / 'CelebA-HQ-img' / f'{i}.jpg', (2 * size, 2 * size))
        rows.append(f'{i}.jpg  {1 - 2 * (i % 2)} 1')
        for part, (top, bottom) in {'skin': (1, size), 'hair': (1, 3), 'l_eye': (2, 3), 'u_lip': (4, 5)}.items():
            mask = np.zeros((size, size), np.uint8)
            mask[top:bottom] = 255
            path = root / 'CelebAMask-HQ-mask-anno' / str(i // 2000) / f'{i:05d}_{part}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).convert(mode).save(path)
    (root / 'CelebAMask-HQ-attribute-anno.txt').write_text('\n'.join([str(n), 'Bangs Male', *rows, '']))
    return root


ROWS = ['background', 'hair', 'hair', 'skin', 'u_lip', 'skin', 'skin', 'skin']        # hair comes after the eye, and covers it


@pytest.mark.parametrize('mode', ['RGB', 'L', '1', 'P'])
def test_part_masks_are_merged_in_the_order_of_the_set(mode: str, tmp_path: Path) -> None:
    folder = read_parsing_folder(celebamask(tmp_path, 2, mode=mode))
    assert folder.masks is not None and isinstance(folder.masks[1], tuple)
    assert [p.name for p in folder.masks[1]] == ['00001_hair.png', '00001_l_eye.png', '00001_skin.png', '00001_u_lip.png']
    merged = parts_to_ids(folder.masks[1], folder.paths[1], 8)
    assert merged.dtype == np.uint8 and [IDS['celebamask'][k] for k in merged[:, 3]] == ROWS and (merged == merged[:, :1]).all()


def test_celebamask_hq_as_it_is_handed_out(tmp_path: Path) -> None:
    root = celebamask(tmp_path / 'CelebAMask-HQ')
    report = check_folder(root)
    assert report.ok and report.layout == 'celeba_hq' and not report.unused and report.masks is not None
    assert (report.masks.kind, report.masks.n, report.masks.ids) == ('class ids', 12, [0, 1, 11, 13])
    contact_sheet(root, tmp_path / 'sheet.png', 4)
    opened = open_parsing(ParsingData(source=str(root), size=8))
    assert opened.images.shape == (10, 8, 8, 3) and len(open_parsing(ParsingData(source=str(root), size=8), 'test').images) == 2
    twelve = [{'background': 'others', 'u_lip': 'lips'}.get(name, name) for name in ROWS]
    assert [TWELVE[k] for k in opened.segmentations[4][:, 0]] == twelve
    for ids in ('celebamask', 'face_parsing'):                   # parts have names: an order is only what the parser's classes come in
        nineteen = open_parsing(ParsingData(source=str(root), size=8, classes='nineteen', ids=ids))      # type: ignore[arg-type]
        assert [nineteen.spec.attributes[k] for k in nineteen.segmentations[4][:, 0]] == ROWS
    for path in (root / 'CelebAMask-HQ-mask-anno').rglob('*_hair.png'):
        path.unlink()                                            # nor is a set of bald heads taken for one in another order
    assert [TWELVE[k] for k in open_parsing(ParsingData(source=str(root), size=8)).segmentations[4][:3, 0]] == ['others', 'skin', 'eyes']
    (root / 'CelebAMask-HQ-attribute-anno.txt').unlink()
    assert recognise(root) == 'parsing' and check_folder(root).ok


def test_part_masks_that_do_not_fit(tmp_path: Path) -> None:
    root = celebamask(tmp_path)
    parts = root / 'CelebAMask-HQ-mask-anno' / '0'
    (parts / '00003_skin.png').rename(parts / '00003_skim.png')
    report = check_folder(root)
    assert not report.ok and 'unknown part of a face in' in report.unreadable[0] and "did you mean 'skin'?" in report.unreadable[0]
    (parts / '00003_skim.png').unlink()
    Image.new('L', (5, 5)).save(parts / '00004_hair.png')
    fails(r'00004_hair.png: 5 x 5 px, its picture 16 x 16 px: expected', lambda: open_parsing(ParsingData(source=str(root), size=8)))
    for path in parts.glob('00007_*'):
        path.unlink()
    fails('1 of 12 pictures have no mask .* first 7.jpg: expected 00007_skin.png and so on', lambda: read_parsing_folder(root))


# ---- label lists

@pytest.mark.parametrize(('files', 'named', 'near'), [
    ('000001.jpg', '1.png', '000001.jpg'), ('a.jpg', 'a.png', 'a.jpg'), ('a.jpg', 'a.JPG', 'a.jpg'), ('a.JPG', 'a.jpg', 'a.JPG'),
    ('000001.jpg', '1', '000001.jpg'), ('pics/a.jpg', 'pics\\a.jpg', 'pics/a.jpg'), ('pics/a.jpg', 'photos/a.jpg', 'pics/a.jpg')])
def test_a_label_list_that_nearly_names_its_pictures(files: str, named: str, near: str, tmp_path: Path) -> None:
    picture(tmp_path / files)
    pictures(tmp_path / 'other', 'z.png')
    (tmp_path / 'labels.csv').write_text(f'file,Hat\n{named},1\nother/z.png,0\n')
    with pytest.raises(ValueError) as caught:
        read_attribute_folder(tmp_path)
    assert str(caught.value) == (f'{tmp_path}/labels.csv, line 2: no picture {named} in {tmp_path} (1 of 2 rows name a missing picture): '
                                 f'labels.csv says {named}, the folder has {near}; write the names as the files have them')


def test_celebas_own_list_without_suffixes(tmp_path: Path) -> None:
    root = celeba(tmp_path, CELEBA.replace('.png', ''))
    fails('list_attr_celeba.txt says a, the folder has a.png', lambda: read_attribute_folder(root))
    root = celeba(tmp_path / '2', CELEBA + 'd 1 1 1\n')
    fails('line 6: no picture d .*expected a file for every row', lambda: read_attribute_folder(root))


@pytest.mark.parametrize(('header', 'refused'), [(',file,Smiling', True), ('Unnamed: 0,file,Smiling', True), (',name,Smiling', True),
                                                 ('Count,file,Smiling', False)])
def test_an_index_column_of_pandas(header: str, refused: bool, tmp_path: Path) -> None:
    text = f'{header}\n0,a.png,1\n1,b.png,0\n2,c.png,1\n'
    root = table(tmp_path, text)
    if refused:
        fails('the first column, .*, counts the rows, as pandas writes an index.*index=False', lambda: read_attribute_folder(root))
    else:
        fails("column Count: '2'", lambda: read_attribute_folder(root))
    if 'file' in header:                                         # chosen columns leave it out
        assert read_attribute_folder(root, ['Smiling']).labels.tolist() == [[1], [0], [1]]


@pytest.mark.parametrize(('n', 'says'), [
    (4, 'a fifth is held out, which of 4 is none'), (9, 'a fifth is held out, which of 9 is 1'), (10, '')])
def test_a_set_too_small_to_be_scored_is_told_at_the_check(n: int, says: str, tmp_path: Path) -> None:
    pictures(tmp_path, ' '.join(f'{i}.png' for i in range(n)))
    (tmp_path / 'labels.csv').write_text('\n'.join(['file,Hat', *(f'{i}.png,{i % 2}' for i in range(n))]))
    report = check_folder(tmp_path)
    told = [line for line in report.warnings if 'retouch evaluate' in line]
    assert report.ok and told == ([f'{says}: `retouch evaluate` needs at least 2 held-out pictures; expected 10 pictures or more, or a '
                                   'test part'] if says else [])


def test_a_folder_that_may_not_be_opened_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip('root may open every folder')
    root = table(tmp_path)
    (root / 'closed').mkdir(mode=0)
    assert unused(check_folder(root)) == {'folders that this user may not look into': ['closed/']}


# ---- what was decided for a picture

def test_frames_depth_and_floats_are_counted(tmp_path: Path) -> None:
    """Three animations, two deep pictures and a float one among plain ones: what is left out or decided is said with its count."""
    for i in range(3):
        frames = [Image.fromarray(np.full((16, 16, 3), 40 * (i + k), np.uint8)) for k in range(2)]
        frames[0].save(tmp_path / f'g{i}.gif', save_all=True, append_images=frames[1:])
    for i in range(2):
        Image.fromarray(np.full((16, 16), 4000, np.uint16)).save(tmp_path / f'd{i}.png')
    Image.fromarray(np.full((16, 16), 0.5, np.float32)).save(tmp_path / 'f0.tif')
    names = sorted(p.name for p in tmp_path.iterdir())
    (tmp_path / 'labels.csv').write_text('\n'.join(['file,Hat', *(f'{name},{i % 2}' for i, name in enumerate(names))]))
    report = check_folder(tmp_path)
    assert '3 of 5 pictures: have several frames or pages: the first alone is used' in report.warnings
    assert '2 of 5 pictures: no value of the 16-bit picture is above 4095: it was taken for 12 bits and brought to 8' in report.warnings
    assert not report.ok and len(report.unreadable) == 1
    assert report.unreadable[0].startswith(f'{tmp_path / "f0.tif"}: picture mode F with values 0.5 to 0.5')
