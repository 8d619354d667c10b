"""`retouch compare --out`: one page with the same edits of all models, made from the cards they have."""
from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from retouch import toyfaces
from retouch.cli import comparing
from retouch.cli.main import main
from retouch.data.batches import DataSpec
from retouch.evaluation.card import Card
from retouch.evaluation.provenance import pairs_to_hash
from retouch.evaluation.transfers import transfers_of
from retouch.methods.registry import METHODS
from retouch.model import load_model, save_model
from retouch.toyfaces.night import night_hash

N = 6


def transfers_hash(model: Path) -> str:
    pairs = transfers_of(load_model(model), N)
    return pairs_to_hash(pairs.inputs, pairs.exemplars)


def system(folder: Path, method: str, protocol: str, digest: Callable[[Path], str], seed: int = 0, **data: object) -> str:
    """An untrained tiny system with a card that nobody measured."""
    torch.manual_seed(seed)
    cls = METHODS[method]
    tiny = cls(cls.tiny().config, cls.tiny().data if method != 'pix2pix' else DataSpec(size=64, domains=('A', 'B')))
    weights = {f'{n}.{k}': v for n in tiny.inference_nets for k, v in tiny.nets[n].state_dict().items()}
    save_model(folder / 'model', tiny, weights, {'data': {'source': 'toyfaces', **data}})
    sha256 = json.loads((folder / 'model' / 'config.json').read_text())['sha256']
    Card.model_validate({
        'protocol': protocol, 'n': N, 'seed': 0, 'hardware': 'a machine', 'versions': {}, 'checkpoint': {'rule': 'last', 'sha256': sha256},
        'data': {'source': 'toyfaces', 'hash': digest(folder), 'size': tiny.data.size, 'attributes': ('x',)},
        'measures': {'psnr_truth': {'value': 20.0 + seed, 'low': 19.5 + seed, 'high': 20.4 + seed, 'unit': 'dB'}},
    }).write(folder / 'card.json')
    return str(folder)


def drawn(folder: Path) -> str:
    return toyfaces.drawing_hash()


@pytest.mark.parametrize(('methods', 'protocol', 'digest', 'data', 'edits', 'lines'), [
    (('aggan_multi', 'stargan'), 'toyfaces', drawn, {}, 'face 1: Eyeglasses=', ('edit', 'mask', 'Grad-CAM', 'difference')),
    (('aggan', 'munit'), 'domains', drawn, {'attribute': 'Smiling'}, 'face 1: Smiling=', ('edit', 'mask', 'difference')),
    (('aggan', 'munit'), 'domains', lambda folder: night_hash(), {'attribute': 'Night'}, 'face 1: Night=', ('edit', 'mask', 'difference')),
    (('aggan_multi', 'stargan'), 'eyeglasses', drawn, {}, 'face 2: Eyeglasses=1', ('edit', 'mask', 'Grad-CAM', 'difference')),
    (('pix2pix', 'pix2pix'), 'pairs', drawn, {}, 'pair 1: to=B', ('edit', 'error')),
    (('lomit', 'lomit'), 'exemplars', transfers_hash, {}, 'pair 1', ('edit', 'mask', 'exemplar mask', 'difference'))],
    ids=['toyfaces', 'domains', 'night', 'eyeglasses', 'pairs', 'exemplars'])
def test_the_same_edits_of_all_models(methods: tuple[str, str], protocol: str, digest: Callable[[Path], str], data: dict, edits: str,
                                      lines: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, 'evaluate', lambda *given, **more: pytest.fail('evaluated again'))
    names = [system(tmp_path / name, method, protocol, digest, seed, **data)
             for seed, (name, method) in enumerate(zip(('one', 'two'), methods, strict=True))]
    out = tmp_path / 'new' / 'compared'
    assert main(['compare', *names, '--out', str(out)]) == 0
    captured = capsys.readouterr()
    assert f'written: {out / "comparison.json"} {out / "report.html"}' in captured.out and captured.err == ''
    assert main(['compare', *names, '--json']) == 0
    assert json.loads((out / 'comparison.json').read_text()) == json.loads(capsys.readouterr().out)
    page = (out / 'report.html').read_text(encoding='utf-8')
    titles = re.findall('<figcaption>(.*?)</figcaption>', page)
    assert any(title.startswith(edits) for title in titles) and len({title.split(':')[0] for title in titles}) == 4
    shown = re.findall('<img alt="([^"]*)"', page)
    for title in titles:
        made = [alt for alt in shown if alt.startswith('edit,') and alt.endswith(f', {title}')]
        assert made == [f'edit, one, {title}', f'edit, two, {title}']
        assert shown.count(f'input, {title}') == shown.count(f'truth, {title}') == 1
    assert {alt.split(',')[0] for alt in shown} - {'input', 'truth', 'exemplar'} == set(lines)
    assert '<mark title="best">21.00</mark>' in page


def test_pictures_that_are_drawn_otherwise_now_are_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = system(tmp_path / 'one', 'aggan_multi', 'toyfaces', lambda folder: 'of yesterday')
    assert main(['compare', name, '--out', str(tmp_path / 'out')]) == 0
    said = f'toyfaces is {toyfaces.drawing_hash()} now, of yesterday in the card; evaluate again'
    assert said in (line := capsys.readouterr().err) and len(line.splitlines()) == 1
    page = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert said in page and '<img' not in page and '20.00' in page


def test_cards_are_compared_without_their_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [system(tmp_path / name, 'aggan_multi', 'toyfaces', drawn, seed) for seed, name in enumerate(('one', 'two'))]
    (tmp_path / 'alone').mkdir()
    (tmp_path / 'two' / 'card.json').rename(tmp_path / 'alone' / 'card.json')
    assert main(['compare', names[0], str(tmp_path / 'alone'), '--out', str(tmp_path / 'out')]) == 0
    captured = capsys.readouterr()
    said = f'{tmp_path / "alone"} is a card without its model: no edits are shown'
    assert captured.err == f'note: {said}\n' and '21.00' in captured.out
    page = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert said in page and '<img' not in page and '<mark title="best">21.00</mark>' in page


def test_a_classifier_has_no_edits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = system(tmp_path / 'one', 'classifier', 'classifier', lambda folder: 'ab')
    assert main(['compare', name, '--out', str(tmp_path / 'out')]) == 0 and capsys.readouterr().err == ''
    assert '<h2>Edits' not in (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')


@pytest.mark.parametrize('command', ['compare', 'evaluate'])
def test_a_file_as_out_is_refused_before_any_work(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, 'evaluate', lambda *given, **more: pytest.fail('worked for nothing'))
    (tmp_path / 'file').write_text('mine')
    assert main([command, 'toyfaces', '--out', str(tmp_path / 'file')]) == 2
    captured = capsys.readouterr()
    assert f'--out {tmp_path / "file"} is a file: expected a folder' in captured.err and len(captured.err.splitlines()) == 1
    assert captured.out == '' and (tmp_path / 'file').read_text() == 'mine'


def test_models_that_cannot_be_compared_leave_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [system(tmp_path / protocol, 'aggan', protocol, drawn) for protocol in ('domains', 'exemplars')]
    assert main(['compare', *names, '--out', str(tmp_path / 'out')]) == 2
    assert 'cards compare only under one protocol' in capsys.readouterr().err and not (tmp_path / 'out').exists()
