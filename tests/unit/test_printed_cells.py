"""Every printed cell of the five papers' tables, written down a second time in the order of the papers' own tables, and compared."""
from __future__ import annotations

import pytest

from retouch.papers.registry import TABLES
from retouch.papers.table import ASKED

PRINTED: dict[str, dict[str, str]] = {                           # table -> row -> its cells from left to right, parts one after another
    'cam.table1': {'stargan': '21.14±6.77', 'stargan+cam': '17.98±3.24', 'attgan': '14.27±6.29', 'attgan+cam': '13.27±4.04',
                   'stgan': '11.61±4.68', 'stgan+cam': '10.49±3.66'},
    'cam.table2': {'stargan': '24.29 21.78 25.06 21.86 23.25', 'stargan+cam': '25.46 25.30 26.94 24.96 25.66',
                   'attgan': '28.03 25.65 29.89 25.47 27.26', 'attgan+cam': '28.77 26.37 31.05 27.70 28.47',
                   'stgan': '26.80 23.56 28.03 26.21 26.15', 'stgan+cam': '28.84 25.31 29.70 29.22 28.27'},
    'cam.table3': {'attgan+cam': '65.0 68.3 83.3 55.0 61.8 58.2', 'attgan': '35.0 31.7 16.7 45.0 38.2 41.8'},
    'asgit.table1': {'pha+alpha': '7.25±.83 3.69±.41 4.02±.37 4.11±.31 1.86±.24 1.01±.23 1.04±.12 1.23±.12',
                     'pha+rhp': '6.31±.60 2.99±.38 3.69±.27 4.30±.31 1.98±.33 1.03±.26 1.18±.16 1.55±.13',
                     'tam+alpha': '10.80±.71 7.26±.47 5.93±.31 6.70±.36 2.37±.35 1.76±.37 1.45±.18 1.71±.15',
                     'tam+rhp': '10.06±.64 6.81±.45 5.54±.31 6.47±.37 1.34±.29 1.73±.30 .82±.14 1.72±.15'},
    'asgit.table2': {'cyclegan': '8.48±.53 5.94±.65 3.94±.41 4.87±.52 2.63±.20 7.68±.35 2.78±.22 1.86±.26',
                     'stargan': '13.32±.52 11.19±.51 12.42±.74 12.21±.89 5.37±.43 8.49±.34 8.05±.37 8.72±.47',
                     'mejjati': '10.61±.79 4.57±.30 4.12±.80 4.46±.40 8.09±.37 7.85±.29 3.45±.43 2.75±.20',
                     'unit': '17.41±1.13 7.26±.57 12.25±.74 12.37±.84 2.83±.30 11.00±.53 6.20±.25 5.99±.28',
                     'pha+rhp': '6.31±.60 2.99±.38 1.03±.35 3.42±.51 2.76±.32 6.96±.38 1.98±.33 1.03±.26'},
    'asgit.table3': {'cyclegan': '11.02±.60 9.82±.51 10.25±.25 11.44±.38 1.95±.13 3.63±.20 2.05±.12 3.34±.12',
                     'stargan': '9.15±.43 8.31±.48 7.14±.48 4.50±.36 3.43±.20 5.18±.23 3.95±.17 4.14±.21',
                     'mejjati': '6.44±.69 5.32±.48 6.93±.27 6.71±.27 4.14±.14 4.97±.18 3.15±.19 2.45±.13',
                     'unit': '11.68±.43 10.48±.67 4.91±.36 4.39±.33 2.48±.16 6.12±.29 3.51±.15 2.83±.12',
                     'pha+rhp': '3.69±.27 4.30±.31 8.42±.47 8.46±.41 2.48±.15 4.58±.23 1.18±.16 1.55±.13'},
    'asgit.table4': {'cyclegan': '.42 .15 .10 .56 .21 .17', 'unit': '.48 .17 .11 .58 .18 .14', 'mejjati': '.37 .11 .09 .49 .14 .10',
                     'stargan': '.47 .16 .11 .61 .21 .17', 'pha': '.52 .20 .12 .60 .24 .19', 'tam': '.49 .19 .10 .59 .23 .19'},
    'asgit.table5': {'gan': '.22 .05 .01 .32 .08 .02', 'cgan': '.57 .20 .14 .71 .26 .21', 'fal': '.57 .18 .13 .77 .25 .21',
                     'pix2pix': '.61 .22 .16 .80 .43 .32', 'pha': '.63 .23 .16 .81 .42 .32', 'tam': '.63 .22 .16 .75 .40 .30'},
    'aggan.table1': {'cyclegan': '10.2 14.8142 2538.4 25.4 21.1369 602.1 34.6', 'dualgan': '1.3 14.7458 2545.7 4.1 21.0617 595.1 3.2',
                     'discogan': '.1 13.1547 3321.9 .2 15.4010 2018.7 1.2', 'combogan': '1.5 14.7465 2550.6 28.7 20.7377 664.4 9.6',
                     'distancegan': '.3 11.4983 4918.5 8.9 13.9514 3426.6 1.9',
                     'distancegan+cycle': '.1 3.8632 27516.2 .1 10.8042 6066.7 1.3',
                     'self-distance': '.1 3.8674 26775.4 .1 6.6458 14184.2 1.2', 'stargan': '1.6 13.5757 3360.2 5.3 20.8275 634.4 14.8',
                     'contrastgan': '8.3 14.8495 2511.1 26.2 21.1205 607.8 25.1', 'pix2pix': '2.6 14.6118 2601.3 3.8 21.2864 580.6 -',
                     'encoder-decoder': '.1 12.6660 3755.4 .2 16.5609 1576.7 -', 'bicyclegan': '1.5 14.7914 2541.8 3.2 19.1703 1045.4 -',
                     'aggan': '12.8 14.9187 2508.6 32.9 21.3247 574.5 38.9'},
    'aggan.table2': {'full': '12.8 14.9187 2508.6', 'full-ad': '10.2 14.6352 2569.2', 'full-ad-ag': '3.2 14.4646 2636.7',
                     'full-ad-pl': '8.9 14.5128 2619.8', 'full-ad-al': '6.3 14.6129 2652.6', 'full-ad-pl-al': '5.2 14.3287 2787.3'},
    'aggan.table3': {'pix2pix': '57.2', 'encoder-decoder': '41.9', 'bicyclegan': '64.3', 'cyclegan': '52.6', 'dualgan': '178.7',
                     'discogan': '16.6', 'distancegan': '52.6', 'distancegan+cycle': '52.6', 'self-distance': '52.6', 'combogan': '14.4',
                     'stargan': '53.2', 'contrastgan': '52.6', 'aggan': '52.6'},
    'lomit.table1': {'drit': '.3295 .24 23.8 .2703 .21 21.1 .2685 .20 19.9 .3805 .24 14.3 .2853 .21 16.1',
                     'munit': '.2808 .25 60.0 .1368 .19 53.0 .1751 .20 57.1 .1972 .25 34.9 .2472 .24 27.3',
                     'lomit': '.3105 .27 71.4 .2348 .22 83.9 .2528 .20 73.7 .2069 .23 68.1 .2834 .22 72.8'},
    'lomit.figure7': {'drit': '12.3', 'munit': '11.5', 'lomit': '25.6'},
    'lomit.questions': {'lomit': '67.7 66.3 95.7 96.7', 'other': '32.3 33.7 4.3 3.2'},
    'secgan.table1': {'stargan': '78.72 1.58 3.08 72.75 3.22 2.74 58.16 4.97 3.11 86.09 .92 1.42', 'stargan+concat': '80.50 1.47 3.04',
                      'stargan+secgan': '82.79 1.61 3.07 75.78 3.51 2.80 60.17 4.91 3.12 91.62 .94 1.41',
                      'attgan': '82.85 1.22 2.94', 'attgan+concat': '79.74 1.20 3.06', 'attgan+secgan': '84.81 1.27 3.05'},
    'secgan.figure3': {'sc0.01': '82.79'},
}
WITHOUT = ('accuracy (not printed)', 'CA, both at once')         # columns of ours, of which the papers print nothing


@pytest.mark.parametrize('name', TABLES)
def test_printed_cells(name: str) -> None:
    table = TABLES[name]
    found = {}
    for row in table.rows:
        texts = []
        for part in table.parts:
            if part.id not in row.printed:
                continue
            words = row.printed[part.id].split()
            assert len(words) == len(part.columns), (name, row.id, part.id)
            texts += [word for word, column in zip(words, part.columns, strict=True) if column.name not in WITHOUT]
            assert all(word == '-' for word, column in zip(words, part.columns, strict=True) if column.name in WITHOUT), (name, row.id)
        if set(texts) - {'-'}:
            found[row.id] = ' '.join(texts)
    assert found == PRINTED.get(name, {})


def test_the_columns_that_cells_stand_under() -> None:
    def columns(name: str, what: str = 'name') -> tuple[str, ...]:
        return tuple(getattr(column, what) for part in TABLES[name].parts for column in part.columns)

    assert columns('cam.table2') == ('Black', 'Blond', 'Brown', 'Pale', 'Average', 'accuracy (not printed)')
    assert columns('cam.table2', 'row')[:4] == ('Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Pale_Skin')
    assert columns('cam.table3', 'row') == ('Brown_Hair', 'Blond_Hair', 'Pale_Skin', 'Male', 'Blond_Hair+Pale_Skin', 'Male+Young')
    for name in ('asgit.table2', 'asgit.table3'):
        assert [part.set for part in TABLES[name].parts] == ['apple2orange', 'horse2zebra', 'day2night', 'summer2winter_yosemite']
        assert columns(name) == ('A to O', 'O to A', 'H to Z', 'Z to H', 'D to N', 'N to D', 'S to W', 'W to S')
        assert columns(name, 'row') == ('to=B', 'to=A') * 4
    assert columns('asgit.table1') == (
        'A to O', 'O to A', 'fused A to O', 'fused O to A', 'S to W', 'W to S', 'fused S to W', 'fused W to S')
    kid, fused = 'kid[inception-v3-compat]', 'kid_fused[inception-v3-compat]'
    assert columns('asgit.table1', 'measure') == (kid, kid, fused, fused) * 2
    assert (set(columns('asgit.table2', 'measure')), set(columns('asgit.table3', 'measure'))) == ({kid}, {fused})
    for name in ('asgit.table4', 'asgit.table5'):
        assert columns(name) == ('per-pixel', 'per-class', 'IoU') * 2 and columns(name, 'way') == ('to=A',) * 3 + ('to=B',) * 3
        assert columns(name, 'measure') == ('fcn_pixel_accuracy', 'fcn_class_accuracy', 'fcn_iou') * 2
    assert columns('aggan.table1', 'measure') == (ASKED, 'psnr_truth_per_image', 'mse_truth') * 2 + (ASKED,)
    assert columns('lomit.table1')[:3] == ('IS mean', 'IS std', 'CA') and [part.id for part in TABLES['lomit.table1'].parts] == [
        'facial_hair', 'gender', 'lipstick', 'facial_hair_gender', 'makeup_lipstick']
    assert [part.id for part in TABLES['secgan.table1'].parts] == ['celeba', 'hq128', 'hq256', 'rafd']
    assert columns('secgan.table1') == ('accuracy', 'ssFID', 'IS') * 4
