"""Extractors with published weights: the files, the networks against the libraries', LPIPS; and distances under growing damage."""
from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch_fidelity
from PIL import Image
from torch import Tensor
from torch_fidelity import feature_extractor_inceptionv3
from torchmetrics.image import LearnedPerceptualImagePatchSimilarity
from torchvision.models import AlexNet, Inception_V3_Weights, inception_v3, resnet50
from torchvision.models.vision_transformer import VisionTransformer

from retouch.evaluation.looks import lpips_to_measures
from retouch.evaluation.scoring import Task
from retouch.metrics import features, fidelity
from retouch.metrics.features import LPIPS, PUBLISHED, dino_to_torchvision, file_to_sha256, find_weights, load_extractor, load_lpips
from tests.unit.test_benchmarks import script
from tests.unit.test_metrics import Pictures

SWAV = 'swav-resnet50'


# ---- files

@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.delenv(features.WEIGHTS_ENV, raising=False)
    return tmp_path


@pytest.mark.parametrize('name', PUBLISHED)
def test_a_missing_file_is_named_with_its_place_and_source_in_one_line(nowhere: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for folder in ('torch/hub/checkpoints', 'by variable', 'by option'):
        if folder == 'by variable':
            monkeypatch.setenv(features.WEIGHTS_ENV, str(nowhere / folder))
        with pytest.raises(ValueError, match='is missing') as caught:
            find_weights(name, nowhere / folder if folder == 'by option' else None)
        said = str(caught.value)
        assert str(nowhere / folder / PUBLISHED[name].file) in said and PUBLISHED[name].url in said and '\n' not in said
        assert features.WEIGHTS_ENV in said and '--download' in said


def test_digests_are_those_in_the_published_names() -> None:
    for name in ('inception-v3-compat', 'inception-v3-torchvision', LPIPS):
        assert PUBLISHED[name].sha256 in PUBLISHED[name].file and PUBLISHED[name].url.endswith(PUBLISHED[name].file)
    assert PUBLISHED['inception-v3-compat'].url == feature_extractor_inceptionv3.URL_INCEPTION_V3
    assert PUBLISHED['inception-v3-torchvision'].url == Inception_V3_Weights.IMAGENET1K_V1.url


def test_another_file_is_refused(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = nowhere / PUBLISHED['dinov2-vitb14'].file
    path.write_bytes(b'something else')
    monkeypatch.setenv(features.WEIGHTS_ENV, str(nowhere))
    with pytest.raises(ValueError, match='expected 0b8b82f8…') as caught:
        find_weights('dinov2-vitb14')
    assert '\n' not in str(caught.value)
    right = PUBLISHED['dinov2-vitb14']._replace(sha256=hashlib.sha256(b'something else').hexdigest())
    monkeypatch.setitem(PUBLISHED, 'dinov2-vitb14', right)
    assert find_weights('dinov2-vitb14') == path == find_weights('dinov2-vitb14', path) == find_weights('dinov2-vitb14', nowhere)
    (nowhere / PUBLISHED[SWAV].file).write_bytes(b'no digest of it is published: what is in it must tell')
    with pytest.raises(ValueError, match='holds no weights for swav-resnet50') as caught:
        load_extractor(SWAV, find_weights(SWAV))
    assert '\n' not in str(caught.value)


def test_only_the_published_file_is_fetched(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nowhere / 'remote').write_bytes(b'half of it')
    for name in (LPIPS, SWAV):
        monkeypatch.setitem(PUBLISHED, name, PUBLISHED[name]._replace(url=(nowhere / 'remote').as_uri()))
    with pytest.raises(ValueError, match='another file came') as caught:
        find_weights(LPIPS, download=True)
    with pytest.raises(ValueError, match='no digest of it is published'):
        find_weights(SWAV, download=True)
    assert '\n' not in str(caught.value) and not [p for p in (nowhere / 'torch').rglob('*') if p.is_file()]
    monkeypatch.setitem(PUBLISHED, LPIPS, PUBLISHED[LPIPS]._replace(sha256=hashlib.sha256(b'half of it').hexdigest()))
    fetched = find_weights(LPIPS, nowhere / 'mine', download=True)
    assert fetched == nowhere / 'mine' / PUBLISHED[LPIPS].file and fetched.read_bytes() == b'half of it'


# ---- networks, with random weights in files of the published layout

def bytes_of(n: int, size: int, seed: int) -> Tensor:
    return torch.randint(0, 256, (n, 3, size, size), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def swav_file(folder: Path) -> Path:
    state = {f'module.{key}': value for key, value in resnet50(weights=None).state_dict().items() if not key.startswith('fc.')}
    torch.save({**state, 'module.projection_head.0.weight': torch.ones(1), 'module.prototypes.weight': torch.ones(1)}, folder / 'swav')
    return folder / 'swav'


def inception_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    kind = feature_extractor_inceptionv3.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch:
        patch.setattr(feature_extractor_inceptionv3, 'load_state_dict_from_url', lambda *options, **more: {})
        patch.setattr(kind, 'load_state_dict', lambda self, state: None)
        torch.save(kind('random', ['2048']).state_dict(), folder / 'inception')
    return folder / 'inception'


@pytest.mark.parametrize('name', ['inception-v3-compat', SWAV])
def test_equals_torch_fidelity_with_the_same_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    path = swav_file(tmp_path) if name == SWAV else inception_file(tmp_path, monkeypatch)
    real, fake = bytes_of(4, 32, 0), bytes_of(5, 32, 1) // 2
    extractor = load_extractor(name, path)
    measures = tuple(measure for measure in extractor.measures if measure != 'fid')            # 2048 x 2048 eigenvalues take their time
    ours = extractor.compare(extractor.look(real), extractor.look(fake), measures)
    theirs = torch_fidelity.calculate_metrics(
        input1=Pictures(fake), input2=Pictures(real), feature_extractor=name, feature_extractor_weights_path=str(path), kid=True, prc=True,
        isc='inception_score' in measures, isc_splits=5, kid_subset_size=4, rng_seed=0, cuda=False, save_cpu_ram=True, cache=False,
        verbose=False)
    keys = {'kid': 'kernel_inception_distance_mean', 'precision': 'precision', 'recall': 'recall',
            'inception_score': 'inception_score_mean', 'inception_score_split_std': 'inception_score_std'}
    compared = [measure for measure in measures if measure in keys]
    assert len(compared) == (3 if name == SWAV else 5)
    for measure in compared:
        assert ours[measure] == pytest.approx(theirs[keys[measure]], rel=1e-5, abs=1e-7), measure
    assert extractor.sha256 == file_to_sha256(path) and extractor.logits == (0 if name == SWAV else 1008)


def test_torchvisions_inception_reads_its_own_file_and_scores_as_torch_fidelity_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = inception_v3(weights=None, transform_input=False, aux_logits=True, init_weights=False).eval()
    torch.save(net.state_dict(), tmp_path / 'inception')
    name, image = 'inception-v3-torchvision', bytes_of(4, 40, 0)
    extractor = load_extractor(name, tmp_path / 'inception')
    seen = extractor.look(image)
    with torch.no_grad():                                        # as scripts for the Inception score show it a picture
        expected = net(torch.nn.Upsample(size=(299, 299), mode='bilinear')(image.float() / 127.5 - 1))
    assert seen.shape == (4, 1000) and extractor.logits == 1000 and extractor.measures == fidelity.INCEPTION_SCORES
    assert torch.allclose(seen, expected, atol=1e-5)
    theirs = torch_fidelity.calculate_metrics(
        input1=Pictures(image), feature_extractor=name, feature_extractor_weights_path=str(tmp_path / 'inception'), isc=True, isc_splits=4,
        rng_seed=0, cuda=False, save_cpu_ram=True, cache=False, verbose=False)
    ours = extractor.compare(seen[:0], seen, fidelity.INCEPTION_SCORES)
    assert ours['inception_score'] == pytest.approx(theirs['inception_score_mean'], rel=1e-6)
    assert ours['inception_score_split_std'] == pytest.approx(theirs['inception_score_std'], abs=1e-7)
    (tmp_path / 'other').write_bytes((tmp_path / 'inception').read_bytes()[:1000])
    with pytest.raises(ValueError, match='holds no weights for inception-v3-torchvision'):
        load_extractor(name, tmp_path / 'other')


def test_swav_sees_pictures_as_pillow_resizes_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = swav_file(tmp_path)
    net = resnet50(weights=None)
    net.fc = torch.nn.Identity()
    net.load_state_dict({key.removeprefix('module.'): value for key, value in torch.load(path, weights_only=True).items()}, strict=False)
    for size in (48, 300):
        image = F.interpolate(bytes_of(1, 6, size).float(), size=(size, size), mode='bicubic').clamp(0, 255).byte()
        resized = np.asarray(Image.fromarray(image[0].permute(1, 2, 0).numpy()).resize((224, 224), Image.Resampling.BILINEAR))
        x = torch.from_numpy(resized.copy()).permute(2, 0, 1).float() / 255
        x = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
        with torch.no_grad():
            expected = net.eval()(x[None])
        assert torch.allclose(load_extractor(SWAV, path).look(image), expected, atol=0.01 * float(expected.abs().max()))


def dino_state(width: int, side: int, blocks: int) -> dict[str, Tensor]:
    shapes = {'cls_token': (1, 1, width), 'pos_embed': (1, 1 + side ** 2, width), 'patch_embed.proj.weight': (width, 3, 14, 14),
              'patch_embed.proj.bias': (width,), 'norm.weight': (width,), 'norm.bias': (width,), 'mask_token': (1, width)}
    for i in range(blocks):
        of_block: dict[str, tuple[int, ...]] = {
            'norm1.weight': (width,), 'norm1.bias': (width,), 'attn.qkv.weight': (3 * width, width), 'attn.qkv.bias': (3 * width,),
            'attn.proj.weight': (width, width), 'attn.proj.bias': (width,), 'ls1.gamma': (width,), 'norm2.weight': (width,),
            'norm2.bias': (width,), 'mlp.fc1.weight': (4 * width, width), 'mlp.fc1.bias': (4 * width,),
            'mlp.fc2.weight': (width, 4 * width), 'mlp.fc2.bias': (width,), 'ls2.gamma': (width,)}
        shapes |= {f'blocks.{i}.{key}': shape for key, shape in of_block.items()}
    generator = torch.Generator().manual_seed(0)
    return {key: torch.randn(shape, generator=generator) * (0.02 if 'proj.weight' in key else 0.5) for key, shape in shapes.items()}


def test_dinov2_in_torchvisions_transformer_is_the_same_function() -> None:
    """Against DINOv2's forward pass, written down: scaled branches, places interpolated from 5 x 5 to 2 x 2, the class token's features."""
    width, heads = 16, 2
    s, image = dino_state(width, 5, 2), torch.randn(3, 3, 28, 28, generator=torch.Generator().manual_seed(1))
    net = VisionTransformer(28, 14, 2, heads, width, 4 * width)
    net.heads = torch.nn.Identity()                                                     # type: ignore[assignment]
    net.load_state_dict(dino_to_torchvision(s, patches=2))

    def norm(x: Tensor, key: str) -> Tensor:
        return F.layer_norm(x, (width,), s[f'{key}.weight'], s[f'{key}.bias'], 1e-6)

    places = F.interpolate(s['pos_embed'][:, 1:].view(1, 5, 5, width).permute(0, 3, 1, 2), scale_factor=2.1 / 5, mode='bicubic')
    places = torch.cat([s['pos_embed'][:, :1], places.permute(0, 2, 3, 1).reshape(1, 4, width)], 1)
    x = F.conv2d(image, s['patch_embed.proj.weight'], s['patch_embed.proj.bias'], stride=14).flatten(2).transpose(1, 2)
    x = torch.cat([s['cls_token'].expand(3, -1, -1), x], 1) + places
    for i in range(2):
        b = f'blocks.{i}'
        qkv = F.linear(norm(x, f'{b}.norm1'), s[f'{b}.attn.qkv.weight'], s[f'{b}.attn.qkv.bias'])
        q, k, v = qkv.view(3, 5, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(3, 5, width)
        x = x + s[f'{b}.ls1.gamma'] * F.linear(y, s[f'{b}.attn.proj.weight'], s[f'{b}.attn.proj.bias'])
        y = F.gelu(F.linear(norm(x, f'{b}.norm2'), s[f'{b}.mlp.fc1.weight'], s[f'{b}.mlp.fc1.bias']))
        x = x + s[f'{b}.ls2.gamma'] * F.linear(y, s[f'{b}.mlp.fc2.weight'], s[f'{b}.mlp.fc2.bias'])
    with torch.no_grad():
        assert torch.allclose(net.eval()(image), norm(x, 'norm')[:, 0], atol=1e-4)


def test_dinov2_reads_a_file_in_its_own_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, 'VisionTransformer', lambda *sizes: VisionTransformer(224, 14, 1, 2, 16, 64))
    torch.save(dino_state(16, 37, 1), tmp_path / 'dino')
    extractor = load_extractor('dinov2-vitb14', tmp_path / 'dino')
    seen = extractor.look(bytes_of(3, 20, 0))
    assert seen.shape == (3, 16) and seen.std() > 0 and extractor.measures == fidelity.SETS


def test_lpips_equals_torchmetrics_and_sees_the_outside_alone(nowhere: Path) -> None:
    torch.manual_seed(0)
    state = AlexNet().features.state_dict()
    unused = {'1': (4096, 9216), '4': (4096, 4096), '6': (1000, 4096)}                  # of zeros: a small file
    path = nowhere / 'torch' / 'hub' / 'checkpoints' / PUBLISHED[LPIPS].file
    path.parent.mkdir(parents=True)
    zero = torch.zeros(1)
    torch.save({**{f'features.{key}': value for key, value in state.items()},
                **{f'classifier.{i}.weight': zero.expand(shape) for i, shape in unused.items()},
                **{f'classifier.{i}.bias': zero.expand(shape[0]) for i, shape in unused.items()}}, path)
    net = load_lpips(path)
    x, y = (bytes_of(2, 32, seed).float() / 127.5 - 1 for seed in (0, 1))
    theirs = LearnedPerceptualImagePatchSimilarity('alex')(x, y)
    region = np.zeros((2, 32, 32), bool)
    region[:, 4:20, 6:22] = True
    everywhere, with_region = (Task('', (0,), np.arange(2), None, lambda *_: None, region=some) for some in (None, region))
    more, both = lpips_to_measures(net), slice(0, 2)
    whole = more(everywhere, y, x, both)['lpips_whole[lpips-alexnet]'][0]
    assert float(whole.mean()) == pytest.approx(float(theirs), rel=1e-5) and float(whole.min()) > 0
    inside = torch.where(torch.from_numpy(region)[:, None], y, x)
    assert more(with_region, inside, x, both)['lpips_outside[lpips-alexnet]'][0].tolist() == [0, 0]
    outside = more(with_region, y, x, both)['lpips_outside[lpips-alexnet]'][0]
    assert torch.equal(outside, net(torch.where(torch.from_numpy(region)[:, None], x, y), x).flatten()) and float(outside.min()) > 0
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    levels = [float(net((x + s * noise).clamp(-1, 1), x).mean()) for s in (0.0, 0.05, 0.2, 0.8)]
    assert levels == sorted(levels) and levels[0] == 0 < levels[1], 'of random weights: the path answers, its values mean nothing'
    with pytest.raises(ValueError, match='of pictures of 30 px'):
        more(everywhere, y[..., :30, :30], x[..., :30, :30], both)


# ---- damage

def test_distances_of_the_judges_features_grow_with_damage(repository: Path) -> None:
    values, pictures = script(repository, 'damage').damages_to_values(40)
    assert len(values) == 4 and all(len(rows) == len(pictures[kind]) == 5 for kind, rows in values.items())
    for kind, rows in values.items():
        for name in ('fid', 'kid'):
            found = [row[name] for row in rows]
            assert found[1:] == sorted(found[1:]) and found[-1] > max(found[:3]), (kind, name, found)


def test_scores_answer_to_damage_and_only_to_it(repository: Path) -> None:
    damage = script(repository, 'damage')
    values, pictures = damage.damages_to_scores(24)
    assert len(values) == 8 and all(len(rows) == len(pictures[kind]) == 5 for kind, rows in values.items())
    falling, seen = {'psnr_outside', 'psnr_truth', 'ssim_outside', 'mask_iou', 'pointing_game', 'fcn_pixel_accuracy', 'fcn_class_accuracy',
                     'fcn_iou', 'edit_accuracy'}, set()
    for kind, rows in values.items():
        for name in rows[0]:
            found = [row[name] for row in rows]
            seen.add(name)
            if name == 'mask_area':
                assert found == sorted(found) and (found[0] == found[-1]) == ('aside' in kind)
            elif name == 'leakage':
                assert found[0] == 0 < found[-1] and found[-1] == max(found), (kind, found)
            else:                                                # the window of SSIM sees what a right edit itself changes
                later = found[1:] if name == 'ssim_outside' else found
                assert name in falling and later == sorted(later, reverse=True) and found[-1] < found[0], (kind, name, found)
    assert seen == set(damage.SCORES)
    for kind in (*damage.MASKS, *damage.PARSES):
        assert all(value == 1 for name, value in values[kind][0].items() if name != 'mask_area')
    sheet = damage.draw(values, pictures, damage.SCORES, {**damage.STRENGTHS, **damage.MASKS, **damage.PARSES})
    assert sheet.width > 5 * damage.SIZE * damage.ZOOM and np.asarray(sheet).std() > 10
