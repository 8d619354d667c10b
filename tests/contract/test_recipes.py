"""Every recipe constructs, counts on the meta device, and says what it is."""
from __future__ import annotations

from retouch.data.batches import DataSpec
from retouch.methods.cam import Config
from retouch.methods.registry import count_parameters
from retouch.recipes.registry import RECIPES, TABLES
from retouch.toyfaces.identity import THIRTEEN

EXACT = {                                                        # trainable parameters, from the papers' and authors' networks
    'stargan.paper': {'G': 8_455_616, 'D': 44_827_584},
    'stargan.code': {'G': 8_455_616, 'D': 44_827_584},
    'stargan.rafd': {'G': 8_439_936, 'D': 44_786_624},
    'attgan.paper': {'G': 43_459_203, 'D': 44_718_990},
    'attgan.tf': {'G': 43_459_203, 'D': 44_718_990},
    'stgan.paper': {'G': 74_471_760, 'D': 44_720_974},
    'stgan.official': {'G': 74_998_771, 'D': 44_718_990},
    'aggan.paper': {'G': 7_848_260, 'F': 7_848_260, 'D_A': 6_953_793, 'D_B': 6_953_793, 'P_A': 6_954_817, 'P_B': 6_954_817},
    'aggan.code': {'G': 7_931_332, 'F': 7_931_332, 'D_A': 6_953_793, 'D_B': 6_953_793},
    'aggan_multi.paper': {'G': 8_443_072, 'D': 44_983_232},
    'aggan_multi.code': {'G': 8_443_072, 'D': 44_786_624},
    'attgan.paper256': {'G': 43_459_203, 'D': 145_382_286},
    'cyclegan.paper': {'G': 11_378_179, 'F': 11_378_179, 'D_A': 2_764_737, 'D_B': 2_764_737},
    'asgit.paper': {'T': 75_649, 'G': 11_378_179, 'F': 11_378_179, 'D_A': 2_764_737, 'D_B': 2_764_737},
    'asgit.code': {'G': 11_378_179, 'F': 11_378_179, 'D_A': 2_764_737, 'D_B': 2_764_737},
    'asgit_pairs.paper': {'T': 75_649, 'G': 41_825_667, 'D': 2_767_809},
    'asgit_pairs.code': {'T': 75_649, 'G': 54_409_603, 'D': 2_767_809},
    'attentiongan.paper': {'G': 11_822_949, 'F': 11_822_949, 'D_A': 2_764_737, 'D_B': 2_764_737},
    'combogan.paper': {f'{net}_{k}': n for net, n in (('E', 5_099_136), ('G', 6_565_763), ('D', 2_764_737)) for k in range(8)},
    'combogan.aggan_table': {f'{net}_{k}': n for net, n in (('E', 5_099_136), ('G', 6_565_763), ('D', 2_764_737)) for k in range(8)},
    'mejjati_attn.paper': {'G': 2_855_811, 'F': 2_855_811, 'M_A': 104_001, 'M_B': 104_001, 'D_A': 2_766_657, 'D_B': 2_766_657},
    'cut.paper': {'G': 11_378_179, 'F': 560_384, 'D': 2_764_737},
    'cut.paper_fastcut': {'G': 11_378_179, 'F': 560_384, 'D': 2_764_737},
    'pix2pix.paper': {'G': 54_413_955, 'D': 2_768_705},
    'pix2pix.cgan': {'G': 54_413_955, 'D': 2_768_705},
    'pix2pix.gan': {'G': 54_413_955, 'D': 2_765_633},
    'pix2pix.encoder_decoder': {'G': 39_075_459, 'D': 2_768_705},
    'bicyclegan.paper': {'G': 54_794_627, 'E': 2_590_032, 'D_1': 3_458_978, 'D_2': 3_458_978},
    'fal.paper': {'G': 7_837_699, 'M': 2_626_624, 'D': 2_767_809},
    'fal.asgit': {'G': 11_378_179, 'M': 5_310_784, 'D': 2_767_809},
    'dualgan.paper': {'G': 85_021_763, 'F': 85_021_763, 'D_A': 4_321_153, 'D_B': 4_321_153},
    'dualgan.ce_2017': {'G': 85_022_787, 'F': 85_022_787, 'D_A': 4_321_153, 'D_B': 4_321_153},
    'dualgan.gp_2020': {'G': 30_627_907, 'F': 30_627_907, 'D_A': 3_949_441, 'D_B': 3_949_441},
    'classifier.paper': {'C': 3_284_093},
    'munit.paper': {'G_A': 15_026_187, 'G_B': 15_026_187, 'D_A': 8_271_171, 'D_B': 8_271_171},
    'unit.paper': {'G_A': 11_140_483, 'G_B': 11_140_483, 'D_A': 8_271_171, 'D_B': 8_271_171},
    'unit.nips': {'G_A': 7_828_483, 'G_B': 7_828_483, 'G_AB': 2_360_320, 'D_A': 83_328, 'D_B': 83_328, 'D_AB': 25_073_409},
    'icgan.paper': {'G': 3_725_123, 'D': 2_803_393, 'E_z': 18_278_244, 'E_y': 3_186_962},
    'ganimation.paper': {'G': 8_471_296, 'D': 44_860_352},
    'contrastgan.aggan_table': {'G': 8_421_120, 'D_A': 2_764_737, 'D_B': 2_764_737, 'P': 1_286_892},
    'diat.celeba': {'T': 6_657_539, 'M': 245_825, 'D': 2_764_737},
    'ganimation.rafd': {'G': 8_443_072, 'D': 44_786_624},
    'drit.paper': {'E_c': 9_018_112, 'E_a': 2_688_160, 'G': 9_564_710, 'D_c': 10_683_649,
                   'D_A': 8_271_171, 'D_B': 8_271_171, 'D_A2': 8_271_171, 'D_B2': 8_271_171},
    'lomit.paper': {'E_c': 5_390_848, 'E_s': 4_864_656, 'A': 3_806_721, 'H': 399_360, 'G': 5_758_723, 'D': 44_729_282},
    'lomit.code': {'E_c': 5_390_848, 'E_s': 2_764_936, 'A': 3_806_721, 'H': 399_360, 'G': 5_758_723, 'D': 44_753_861},
}
EXACT['mejjati_attn.paper_summer2winter'] = EXACT['mejjati_attn.paper']
CAM_ROWS = ('', '_baseline', '_generator', '_discriminator', '_mean', '_literal')
EXACT |= {f'cam.{backbone}_paper{row}': EXACT[f'{backbone}.paper'] for backbone in ('stargan', 'attgan', 'stgan') for row in CAM_ROWS}
for _backbone, _channels in (('stargan', (8_493_248, 8_512_064, 44_836_800)), ('attgan', (43_471_491, 43_486_860, 44_728_206))):
    _concat, _g, _d = _channels
    _alone, _name = EXACT[f'{_backbone}.paper'], f'secgan.{_backbone}_paper'
    EXACT |= {f'{_name}{row}': {**_alone, 'G_seg': _g, 'D_seg': _d, 'P': 1_286_892} for row in ('', '_sc1e-3', '_sc1e-1')}
    EXACT |= {f'{_name}_concat': {**_alone, 'G': _concat, 'P': 1_286_892}, f'{_name}_sc0': _alone}
EXACT |= {'aggan.celeba': EXACT['aggan.paper'],
          'aggan.paper_no_ad_ag': {'G': 7_845_123, 'F': 7_845_123, 'D_A': 6_953_793, 'D_B': 6_953_793}}
EXACT |= {f'aggan.paper{row}': {net: n for net, n in EXACT['aggan.paper'].items() if net[0] != 'P'}
          for row in ('_no_ad', '_no_ad_pl', '_no_ad_al', '_no_ad_pl_al')}
_tam = {'D_A': 3_228_609, 'D_B': 3_228_609}                       # of 3,818,433 published, 589,824 are never called
EXACT |= {'asgit.paper_pha_alpha': {**EXACT['asgit.paper'], 'G': 11_381_315, 'F': 11_381_315},
          'asgit.paper_tam_rhp': {**EXACT['asgit.paper'], **_tam},
          'asgit.paper_tam_alpha': {'T': 75_649, 'G': 11_381_315, 'F': 11_381_315, **_tam},
          'asgit_pairs.paper_tam': {**EXACT['asgit_pairs.paper'], 'D': 3_231_681}}
EXACT |= {f'pix2pix.asgit{row}': {'G': 41_825_667, 'D': d} for row, d in (('', 2_767_809), ('_cgan', 2_767_809), ('_gan', 2_764_737))}
EXACT |= {'bicyclegan.aggan_table': EXACT['bicyclegan.paper'], 'dualgan.aggan_table': EXACT['dualgan.ce_2017']}
_disco = {'G': 5_513_856, 'F': 5_513_856, 'D_A': 2_765_568, 'D_B': 2_765_568}
EXACT |= {'discogan.paper': _disco, 'discogan.aggan_table': _disco}
EXACT |= {f'distancegan.{row}{form}': _disco if row == 'paper_disco' else EXACT['cyclegan.paper']
          for row in ('paper', 'aggan_table', 'paper_disco') for form in ('', '_cycle', '_self')}
EXACT |= {'munit.celeba': EXACT['munit.paper'], 'drit.celeba': {**EXACT['drit.paper'], 'D_c': 7_472_129}}
EXACT |= {f'lomit.paper{row}': {**EXACT['lomit.paper'], 'D': d}
          for row, d in (('_gender', 44_729_282), ('_lipstick', 44_729_282), ('_facial_hair_gender', 44_737_475),
                         ('_makeup_lipstick', 44_737_475),
                         ('_hair_smile', 44_753_861))}
EXACT |= {'lomit.emotionet': {**EXACT['lomit.paper'], 'D': 44_819_405}}
for _size, _d, _d_seg in ((128, 44_827_584, 44_836_800), (256, 45_147_072, 45_156_288)):
    _hq = {'G': 8_455_616, 'D': _d}
    EXACT |= {f'secgan.stargan_hq{_size}': {**_hq, 'G_seg': 8_512_064, 'D_seg': _d_seg, 'P': 1_286_892},
              f'secgan.stargan_hq{_size}_sc0': _hq}
EXACT |= {'secgan.stargan_rafd': {**EXACT['stargan.rafd'], 'G_seg': 8_496_384, 'D_seg': 44_795_840, 'P': 1_286_892},
          'secgan.stargan_rafd_sc0': EXACT['stargan.rafd'], 'secgan.stgan_paper_sc0': EXACT['stgan.paper'],
          'secgan.stgan_paper': {**EXACT['stgan.paper'], 'G_seg': 74_482_272, 'D_seg': 44_730_190, 'P': 1_286_892}}
# rows at the papers' size; all others are small
PUBLISHED = {'nips', 'ce_2017', 'gp_2020', 'aggan_table',
             'paper', 'code', 'celeba', 'emotionet', 'rafd', 'official', 'tf', 'paper256', 'cgan', 'gan',
             'encoder_decoder', 'asgit'}


def counts_of(name: str) -> dict[str, int]:
    run = RECIPES[name]()
    attributes = getattr(run.data, 'attributes', ()) or tuple(f'class{i}' for i in range(8))      # RaFD has eight classes
    spec = DataSpec(size=run.data.size, window=getattr(run.data, 'window', None), attributes=attributes, domains=('A', 'B'))
    return count_parameters(run.method_id, run.method, spec)


def is_published(name: str) -> bool:
    """'stargan.code', 'cam.attgan_paper_literal'; not 'cam.attgan_toyfaces'."""
    method, row = name.split('.')
    return (row.split('_')[1] in ('paper', 'hq128', 'hq256', 'rafd')) if method in ('cam', 'secgan') else (
        row in PUBLISHED or row.startswith(('paper_', 'asgit_', 'aggan_table_')))


def test_every_recipe() -> None:
    seen = published = 0
    for name, recipe in RECIPES.items():
        run = recipe()
        assert name.startswith(f'{run.method_id}.') and recipe.__doc__, name
        counts = counts_of(name)
        assert all(counts.values()), name
        if name in EXACT:
            assert counts == EXACT[name], name
        assert recipe.__doc__.startswith('Small: ') != is_published(name), f'{name}: a small recipe must say so, and no other'
        published += is_published(name)
        seen += 1
    assert seen == len(RECIPES) >= 40
    assert published == len(EXACT) and set(EXACT) <= set(RECIPES)


def test_cam_recipes_are_their_backbones_with_a_loss_added() -> None:
    backbones = {'paper': {'stargan': 'code'}, 'toyfaces': {}}   # the row, where it is named otherwise
    changes = {'': {}, '_baseline': {'apply_to': 'none'}, '_generator': {'apply_to': 'generator'},
               '_discriminator': {'apply_to': 'discriminator'}, '_mean': {'combine': 'mean'},
               '_literal': {'layer': 'last', 'combine': 'raw'}}
    seen = {'cam.attgan_folder64'}
    for tier, other in backbones.items():
        for backbone in ('stargan', 'attgan', 'stgan'):
            alone = RECIPES[f'{backbone}.{other.get(backbone, tier)}']()
            for row, changed in changes.items():
                run = RECIPES[f'cam.{backbone}_{tier}{row}']()
                assert (run.data, run.train, run.seed) == (alone.data, alone.train, alone.seed)
                assert run.method == Config(backbone=alone.method, **changed) and run.method.backbone == alone.method
                seen.add(f'cam.{backbone}_{tier}{row}')
    assert seen == {f'cam.{row}' for row in TABLES['cam']} and len(seen) == 37
    folder, alone = RECIPES['cam.attgan_folder64'](), RECIPES['attgan.folder64']()
    assert folder.method == Config(backbone=alone.method) and (folder.data, folder.train) == (alone.data, alone.train)


def test_cyclegan_pair_is_28_million() -> None:
    assert sum(counts_of('cyclegan.paper').values()) == 28_285_832


def test_paper_hyper_parameters() -> None:
    stargan, cyclegan = RECIPES['stargan.paper'](), RECIPES['cyclegan.paper']()
    assert len(THIRTEEN) == 13 and stargan.data.attributes == THIRTEEN
    m = stargan.method
    assert (m.lr, m.beta1, m.beta2, m.n_critic, m.lambda_cls, m.lambda_rec, m.lambda_gp) == (1e-4, 0.5, 0.999, 5, 1, 10, 10)
    assert (stargan.train.iterations, stargan.train.batch_size, stargan.train.ema) == (200_000, 16, None)
    m = cyclegan.method
    assert (m.lr, m.beta1, m.beta2, m.lambda_cyc, m.lambda_idt, m.pool, cyclegan.train.batch_size) == (2e-4, 0.5, 0.999, 10, 0, 50, 1)


def test_stgan_paper_is_its_published_configuration() -> None:
    run = RECIPES['stgan.paper']()
    m = run.method
    assert (m.lr, m.beta1, m.beta2, m.n_critic, m.thres_int) == (2e-4, 0.5, 0.999, 5, 0.5)
    assert (m.lambda_adv, m.lambda_cls_d, m.lambda_cls_g, m.lambda_rec, m.lambda_gp) == (1, 1, 10, 100, 10)
    assert (run.train.iterations, run.train.batch_size, run.data.size, run.data.crop, run.data.flip) == (1_000_000, 32, 128, 178, True)
    official = RECIPES['stgan.official']()
    assert official.train.iterations == 200 * 6 * (182_000 // (6 * 32)) and not official.data.flip
