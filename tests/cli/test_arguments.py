"""From the words of a command line to values: lists, `none`, and names that are longer than others."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from retouch.cli.arguments import parse, split_dotted
from retouch.cli.main import main
from retouch.cli.options import CompareOptions, EditOptions, EvaluateOptions
from retouch.methods.aggan_multi import AGGANMulti
from retouch.model import save_model
from retouch.recipes.registry import list_fields, load_run, override
from tests.folders import write_labelled_faces

SMALL = ['--data.size', '16', '--method.width-g', '4', '--method.width-d', '4', '--method.blocks', '1', '--train.batch-size', '2',
         '--stop-after', '1']


def test_which_fields_are_lists() -> None:
    fields = list_fields()
    assert {'data.attributes', 'data.any_of', 'data.scale'} <= fields and not {'data.source', 'method.backbone.id'} & fields


@pytest.mark.parametrize('words', ['Bangs Black_Hair', 'Bangs,Black_Hair', 'Bangs, Black_Hair'])
def test_a_list_of_a_run_is_written_with_spaces_or_commas(words: str) -> None:
    for args in (['stargan.paper', '--data.attributes', *words.split(), '--data.size', '64'],
                 ['--data.size', '64', '--data.attributes', *words.split(), 'stargan.paper']):
        plain, changes = split_dotted(args, list_fields)
        assert plain == ['stargan.paper'] and changes['data.size'] == '64'
        assert override(load_run(plain[0]), changes).data.attributes == ('Bangs', 'Black_Hair')     # type: ignore[union-attr]
    plain, changes = split_dotted(['stargan.paper', '--data.size', '64', '32'], list_fields)
    assert plain == ['stargan.paper', '32'] and changes == {'data.size': '64'}


def test_every_list_of_a_command_is_written_with_spaces_or_commas() -> None:
    for words in ('A=1 B=0', 'A=1,B=0', 'A=1 --set B=0'):
        assert parse('edit', EditOptions, ['M', 'a,b.png', '--out', 'o', '--set', *words.split()]).set == ('A=1', 'B=0')
    assert parse('edit', EditOptions, ['M', 'a,b.png', '--out', 'o']).images == ('a,b.png',)          # a file name is no list
    for flag in ('edits', 'features'):
        for words in ('A B', 'A,B', f'A --{flag} B'):
            assert getattr(parse('evaluate', EvaluateOptions, ['M', f'--{flag}', *words.split()]), flag) == ('A', 'B')
    for words in ('1 2', '1,2'):
        options = parse('compare', CompareOptions, ['--suite', 'toyfaces', '--seeds', *words.split(), '--only', 'x,y'])
        assert options.seeds == (1, 2) and options.only == ('x', 'y')


def test_attributes_with_spaces_are_trained_on(tmp_path: Path) -> None:
    faces = write_labelled_faces(tmp_path / 'faces', 10, ('Bangs', 'Black_Hair', 'Smiling'))
    assert main(['train', 'aggan_multi.folder64', '--data', str(faces), '--data.attributes', 'Bangs', 'Black_Hair', *SMALL,
                 '--out', str(tmp_path / 'run')]) == 0
    assert json.loads((tmp_path / 'run' / 'run.json').read_text())['run']['data']['attributes'] == ['Bangs', 'Black_Hair']


@pytest.mark.parametrize(('recipe', 'field', 'value'), [
    ('lomit.folder64', 'data.any_of', ()), ('lomit.folder64', 'data.attributes', ()), ('lomit.folder64', 'data.crop', None),
    ('secgan.stargan_toyfaces', 'method.parser', ''), ('pix2pix.eyeglasses', 'data.edit', None),
    ('aggan_multi.demo', 'method.content_activation', 'none')])
def test_none_is_taken_where_nothing_is(recipe: str, field: str, value: object) -> None:
    run = override(load_run(recipe), {field: 'none'})
    assert getattr(getattr(run, field.partition('.')[0]), field.partition('.')[2]) == value


def test_a_recipe_with_labels_of_its_own_says_which_options_name_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faces = write_labelled_faces(tmp_path / 'faces', 10, ('Smiling', 'Eyeglasses'))
    assert main(['train', 'lomit.folder64', '--data', str(faces), '--out', str(tmp_path / 'run')]) == 2
    assert capsys.readouterr().err == (
        "retouch: error: unknown attribute 'Black_Hair': expected one of: Smiling, Eyeglasses; set --data.attributes (Black_Hair, "
        'Blond_Hair, Brown_Hair, Smiling) '
        'and --data.any-of (Black_Hair, Blond_Hair, Brown_Hair; none for all pictures) to labels of this set\n')
    assert main(['train', 'lomit.folder64', '--data', str(faces), '--data.attributes', 'Smiling', 'Eyeglasses', '--data.size', '24',
                 '--data.any-of', 'none', '--train.batch-size', '2', '--method.width-g', '4', '--method.width-d', '4', '--method.blocks',
                 '1',
                 '--stop-after', '1', '--out', str(tmp_path / 'run')]) == 0


def test_a_file_name_may_be_as_long_as_what_is_written_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    method = AGGANMulti.tiny()
    weights = {f'{n}.{k}': v for n in method.inference_nets for k, v in method.nets[n].state_dict().items()}
    save_model(tmp_path / 'model', method, weights, {})
    for length, status in ((246, 0), (247, 2)):                  # NAME.mask.png has 255 bytes, and one more than there may be
        picture = tmp_path / f'{"x" * length}.png'
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(picture)
        assert main(['edit', str(tmp_path / 'model'), str(picture), '--set', 'Eyeglasses=1', '--out', str(tmp_path / 'out')]) == status
        written = sorted(p.name for p in (tmp_path / 'out').iterdir()) if status == 0 else []
        assert written == ([f'{"x" * length}.{suffix}' for suffix in ('diff.png', 'mask.png', 'png')] if status == 0 else [])
        shutil.rmtree(tmp_path / 'out', ignore_errors=True)
    assert 'a file name of 256 bytes: expected at most 255; give the picture a shorter name' in capsys.readouterr().err
