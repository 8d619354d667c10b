"""An evaluation that is stopped goes on to the same card, and reads no more than a batch of pictures at once."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retouch import files, toyfaces
from retouch.data.batches import DataSpec
from retouch.engine.update import Translation
from retouch.evaluation import ledger, protocols
from retouch.evaluation.card import Card
from retouch.evaluation.judge import Judge
from retouch.evaluation.ledger import Ledger
from retouch.evaluation.protocols import classifier_card, evaluate
from retouch.evaluation.tallies import read_tallies
from retouch.evaluation.tasks import true_edits
from retouch.files import Rows, Writer, read_rows
from retouch.metrics import features
from retouch.metrics.features import Extractor
from retouch.toyfaces.stored import held_out_faces
from tests.unit.test_card import ASKED, LAMPS, SIZE, Fake, LampReader, Reader, classifier, lamps

PROTOCOLS = ('toyfaces', 'domains', 'folder', 'domains_folder')


class Stops(nn.Module):
    """Answers half as bright, until it is stopped; counts the answers of all instances that share `log`."""

    def __init__(self, log: list[int], after: int = 10 ** 6, factor: float = 0.5) -> None:
        super().__init__()
        self.log, self.after = log, after
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, image: Tensor) -> Tensor:
        if len(self.log) == self.after:
            raise KeyboardInterrupt
        self.log.append(len(image))
        return image * self.factor


def method(net: Stops, protocol: str) -> Fake:
    spec = {'toyfaces': DataSpec(size=SIZE, attributes=ASKED), 'folder': DataSpec(size=SIZE, attributes=LAMPS)}.get(
        protocol, DataSpec(size=SIZE, domains=('A', 'B')))
    return Fake(lambda request: Translation(net(request.image)), spec, nn.ModuleDict({'G': net}))


def options(protocol: str) -> dict[str, Any]:
    if protocol in ('toyfaces', 'domains'):
        return {'judge': Judge(classifier(Reader(15), toyfaces.ATTRIBUTES), toyfaces.ATTRIBUTES), 'n': 6}
    labels = np.eye(2, dtype=np.float32)[np.arange(8) % 2]
    judge = classifier(LampReader(), LAMPS if protocol == 'folder' else ('A', 'B'))
    if protocol == 'domains_folder':
        judge.method.config = SimpleNamespace(labels='single')
    return {'judge': judge, 'images': lamps(labels), 'labels': labels, 'source': 'lamps'}


def run(protocol: str, log: list[int], after: int = 10 ** 6, out: Path | None = None, factor: float = 0.5,
        **changes: Any) -> tuple[Card, Ledger]:
    kept = Ledger(out)
    given = {**options(protocol), 'batch_size': 2, 'untrained': method(Stops(log, after, 0.9), protocol), **changes}
    return evaluate(method(Stops(log, after, factor), protocol), protocol=protocol, ledger=kept, **given), kept


@pytest.fixture
def eyes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """An extractor of coarse colours; how many pictures it has looked at."""
    (tmp_path / 'weights').write_bytes(b'weights')
    seen: list[int] = []

    def look(image: Tensor) -> Tensor:
        seen.append(len(image))
        return nn.functional.adaptive_avg_pool2d(image.float() / 255, (2, 2)).flatten(1)

    monkeypatch.setattr(features, 'find_weights', lambda *given: tmp_path / 'weights')
    monkeypatch.setattr(features, 'load_extractor', lambda name, *given: Extractor(name, 'ab', look, ('fid', 'kid'), 0))
    return seen


# ---- stopped and continued

@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_a_stopped_evaluation_goes_on_to_the_same_card(protocol: str, tmp_path: Path, eyes: list[int]) -> None:
    whole: list[int] = []
    expected, _ = run(protocol, whole, features=('swav-resnet50',))
    looked, done = sum(eyes), 0
    eyes.clear()
    for stop in (1, len(whole) // 2, len(whole) - 1):            # in the first row, at its end and in the last row
        log: list[int] = []
        with pytest.raises(KeyboardInterrupt):
            run(protocol, log, stop - done, tmp_path / 'run', features=('swav-resnet50',))
        done += len(log)
        assert done == stop and any((tmp_path / 'run').glob('unfinished/*/*.npz'))
    rest: list[int] = []
    card, kept = run(protocol, rest, out=tmp_path / 'run', features=('swav-resnet50',))
    assert card == expected and done + len(rest) == len(whole) and kept.found > 0
    assert looked - 8 * len(expected.references) <= sum(eyes) <= looked, 'only what was being looked at is looked at again'
    kept.close(card)
    assert Card.read(tmp_path / 'run' / 'card.json') == card
    assert sorted(path.name for path in (tmp_path / 'run').iterdir()) == ['card.json', 'tallies.npz']


def test_another_key_starts_anew_and_the_card_clears_all(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run('toyfaces', [], 3, tmp_path)
    for changes in ({'factor': 0.6}, {'seed': 1}, {'n': 7}, {'batch_size': 3}, {'features': ('judge',)}):
        card, kept = run('toyfaces', log := list[int](), out=tmp_path, **changes)      # type: ignore[arg-type]
        assert kept.found == 0 and len(log) > 3, changes
    assert len([*(tmp_path / 'unfinished').iterdir()]) == 6
    kept.close(card)
    assert not (tmp_path / 'unfinished').exists()


def test_another_code_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        run('toyfaces', [], 3, tmp_path)
    monkeypatch.setattr(ledger, '_code', lambda: 'other')
    assert run('toyfaces', [], out=tmp_path)[1].found == 0


def test_a_damaged_piece_is_computed_again(tmp_path: Path) -> None:
    expected, _ = run('toyfaces', [])
    with pytest.raises(KeyboardInterrupt):
        run('toyfaces', [], 3, tmp_path)
    pieces = sorted((tmp_path / 'unfinished').glob('*/*.npz'))
    for k, path in enumerate(pieces):
        path.write_bytes(path.read_bytes()[:[0, 40, -30][k % 3]])
    card, kept = run('toyfaces', [], out=tmp_path)
    assert len(pieces) > 3 and kept.found == 0 and card == expected


def test_without_a_folder_or_room_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, kept = run('toyfaces', [])
    assert kept.kept is None

    def full(*given: Any, **more: Any) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(ledger.np, 'savez', full)
    assert run('toyfaces', [], out=tmp_path)[0] == run('toyfaces', [])[0] and not [*tmp_path.rglob('*.npz')]


# ---- memory

@pytest.mark.parametrize(('protocol', 'attribute'), [('toyfaces', None), ('domains', None), ('domains', 'Night'), ('folder', None),
                                                     ('domains_folder', None)])
def test_no_more_than_a_batch_of_pictures_is_read_at_once(protocol: str, attribute: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    inner = Rows.__getitem__

    def count(self: Rows, which: Any) -> np.ndarray:
        found = inner(self, which)
        read.append(len(found))
        return found

    monkeypatch.setattr(files, 'BATCH', 2)
    monkeypatch.setattr(Rows, '__getitem__', count)
    monkeypatch.setattr(Rows, '__array__', lambda *given, **more: pytest.fail('all of it was read'))
    monkeypatch.setattr(protocols, 'remembered', lambda key, compute: compute())
    run(protocol, [], **({'attribute': attribute} if attribute else {}))
    assert len(read) > 10 and max(read) == 2


def test_what_was_drawn_stays_on_disk() -> None:
    for _ in range(2):                                           # drawn, then from the cache
        images, labels = held_out_faces(5, 24)
        truth = true_edits(('Eyeglasses',), images, labels)['Eyeglasses']
        assert all(isinstance(array, np.memmap) and array.dtype == kind
                   for array, kind in ((images, np.uint8), (truth.images, np.uint8), (truth.regions, bool)))


def resident_file_pages() -> int:
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('RssFile'))      # kB


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='no /proc/self/status: resident pages are not told on this system')
def test_pages_that_were_read_are_let_go(tmp_path: Path) -> None:
    np.save(tmp_path / 'a.npy', np.ones((64, 1 << 19), np.uint8))                    # 32 MB
    mapped = np.load(tmp_path / 'a.npy', mmap_mode='r')
    before = resident_file_pages()
    assert Rows(mapped).mean() == 1 and Rows(mapped, np.arange(64)[::-1])[3:9].all()
    assert resident_file_pages() - before < 8_000
    assert mapped.sum() == 1 << 25 and resident_file_pages() - before > 24_000, 'what is read otherwise stays'


def test_rows_are_those_of_the_array() -> None:
    array, some = np.arange(60).reshape(10, 2, 3), np.array([7, 1, 1, 4])
    for which in (2, slice(1, 3), np.array([3, 0]), slice(None)):
        assert np.array_equal(Rows(array)[which], array[which]) and np.array_equal(Rows(array, some)[which], array[some][which])
    chosen = Rows(array, some)
    assert chosen.shape == (4, 2, 3) and len(chosen) == 4 and chosen.mean() == array[some].mean() and np.array_equal(chosen, array[some])
    assert chosen.any() and not Rows(np.zeros((3, 2), bool)).any()
    chosen[0][:] = 0
    assert array[7].all(), 'a batch is a copy'


def test_a_writer_leaves_a_whole_file_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, data = tmp_path / 'sub' / 'a.npy', np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
    with pytest.raises(KeyboardInterrupt), Writer(path, data.shape) as writer:
        writer.add(data[:3])
        raise KeyboardInterrupt
    assert not [*path.parent.iterdir()] and read_rows(path) is None
    with Writer(path, data.shape) as writer:
        writer.add(data[:1])
        writer.add(data[1:])
        assert np.array_equal(writer.array(), data)
    stored = read_rows(path)
    assert np.array_equal(stored, data) and [*path.parent.iterdir()] == [path]      # type: ignore[arg-type]
    path.write_bytes(path.read_bytes()[:-4])
    assert read_rows(path) is None and not path.exists()
    monkeypatch.setattr(files.shutil, 'disk_usage', lambda folder: SimpleNamespace(free=5))
    with Writer(path, data.shape) as writer:
        writer.add(data)
        assert np.array_equal(writer.array(), data) and not [*path.parent.iterdir()], 'kept in memory'


def test_drawing_and_classifying_tell_how_far_they_are() -> None:
    told: list[tuple[Any, ...]] = []
    images, labels = held_out_faces(5, 16, 9, lambda *given: told.append(given))
    assert told == [(5, 5)]
    judge = classifier(Reader(15), toyfaces.ATTRIBUTES)
    classifier_card(judge, images, labels, batch_size=2, progress=lambda *given: told.append(given))      # type: ignore[arg-type]
    assert told[1:] == [(done, 5, 'classifying pictures') for done in (2, 4, 5)]


# ---- the sums of the card

def test_the_sums_stand_beside_the_card(tmp_path: Path) -> None:
    card, kept = run('folder', [], out=tmp_path)
    kept.close(card)
    assert {name for name in card.measures if '[classifier]' not in name} == read_tallies(tmp_path).keys()
    for name, tally in read_tallies(tmp_path).items():
        assert np.array_equal(tally.total, kept.tallies[name].total) and tally.reduce is kept.tallies[name].reduce
    card.model_copy(update={'seed': 4}).write(tmp_path / 'card.json')
    assert read_tallies(tmp_path) == {}, 'another card'
    card.write(tmp_path / 'card.json')
    (tmp_path / 'tallies.npz').write_bytes((tmp_path / 'tallies.npz').read_bytes()[:100])
    assert read_tallies(tmp_path) == {}
