"""`retouch evaluate` that is stopped says how it goes on, and does; `retouch compare` tells whether a difference is sure."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from retouch.cli.main import main
from retouch.evaluation import evaluate as evaluation
from retouch.methods.aggan_multi import AGGANMulti
from retouch.methods.classifier import AttributeClassifier
from tests.cli.test_cli import judge_card, model_dir


def test_a_stopped_evaluation_says_how_it_goes_on(capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    judge, runs = model_dir(tmp_path / 'judge', AttributeClassifier), [tmp_path / 'one', tmp_path / 'two']
    judge_card(judge, accuracy=0.995)
    for seed, run in enumerate(runs):
        model_dir(run / 'model', seed=seed)
    one, two = (['evaluate', str(run), '--n', '6', '--judge', str(judge), '--json'] for run in runs)

    inner, calls = AGGANMulti.translate, list[int]()

    def stop(self: AGGANMulti, request: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return inner(self, request)      # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(AGGANMulti, 'translate', stop)
        patch.setattr(evaluation, '_untrained', lambda model: None)
        assert main(one) == 130
    said = capsys.readouterr()
    folder = next((runs[0] / 'unfinished').iterdir())
    assert said.out == '' and said.err.splitlines() == [
        f'stopped: what was computed is kept in {folder}; the same command continues', 'retouch: interrupted']
    assert not (runs[0] / 'card.json').exists() and len([*folder.glob('model-*.npz')]) == 2

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, '_untrained', lambda model: None)
        assert main(one) == 0
    said = capsys.readouterr()
    assert 'pieces of an evaluation that was stopped were not computed again' in said.err
    card = json.loads(said.out)
    assert not (runs[0] / 'unfinished').exists() and (runs[0] / 'tallies.npz').is_file()
    assert main([*one, '--out', str(tmp_path / 'whole')]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert card['measures'] == whole['measures'] and set(whole['references']) == {*card['references'], 'untrained'}

    assert main(two) == 0
    capsys.readouterr()
    assert main(['compare', *map(str, runs), '--json']) == 0
    differences = json.loads(capsys.readouterr().out)['differences'][str(runs[1])]
    assert {'edit_accuracy', 'psnr_truth', 'mask_area'} <= set(differences) and not any('fid' in name for name in differences)
    area = differences['mask_area']
    assert area['low'] <= area['value'] <= area['high']
    assert main(['compare', *map(str, runs)]) == 0
    shown = capsys.readouterr().out
    assert f'less {runs[0]}' in ' '.join(shown.split()) and 'in pairs' in shown
    (runs[1] / 'tallies.npz').unlink()
    assert main(['compare', *map(str, runs)]) == 0
    assert 'less' not in (shown := capsys.readouterr().out) and 'psnr_truth' in shown
