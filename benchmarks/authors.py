"""The authors' published code as one callable a system, for `peers.py`: their networks, losses, optimisers and order of steps.

Nothing of it is part of this package. A checkout at the commit of `REPOSITORIES` is read from a folder that the user names; loading,
logging and saving are left out, and so are widgets, progress bars and packages that only these need (a stand-in answers their import).
Where a file fixes its widths, the number is replaced by the row's; where its step cannot be called or is refused by today's torch, the
lines here say what is done instead.
"""
from __future__ import annotations

import importlib
import importlib.util
import itertools
import random
import re
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock, patch

import torch
from torch import Tensor, nn

REPOSITORIES = {
    'stargan': ('yunjey/stargan', '94dd002'), 'AttentionGAN': ('Ha0Tang/AttentionGAN', '45da496'),
    'AttGAN-PyTorch': ('elvisyjlin/AttGAN-PyTorch', 'be2d6c6'), 'STGAN-pytorch': ('bluestyle97/STGAN-pytorch', '1136a5d'),
    'ASGIT': ('voidstrike/ASGIT', '235f922'), 'MUNIT': ('NVlabs/MUNIT', 'a82e222'), 'DRIT': ('HsinYingLee/DRIT', 'f19f50a'),
    'Highway-Adaptive-Instance-Normalization': ('AnonymousIclrAuthor/Highway-Adaptive-Instance-Normalization', '82bb58c')}
NEEDS = {'stargan': ('stargan',), 'attgan': ('AttGAN-PyTorch',), 'stgan': ('STGAN-pytorch',), 'asgit': ('ASGIT',), 'munit': ('MUNIT',),
         'drit': ('DRIT',), 'lomit': ('Highway-Adaptive-Instance-Normalization',), 'cyclegan': ('AttentionGAN', 'ASGIT'),
         'pix2pix': ('AttentionGAN', 'ASGIT'), **{name: ('AttentionGAN',) for name in ('aggan', 'aggan_multi', 'attentiongan')}}
ABSENT = ('tensorboardX', 'torchsummary', 'switchable_norm', 'tensorflow', 'visdom', 'cv2', 'seaborn', 'skimage', 'scipy.misc', 'torchfile',
          'tqdm', 'torchvision', 'torchvision.utils', 'torchvision.transforms', 'torchvision.datasets', 'matplotlib.pyplot', 'mpl_toolkits',
          'mpl_toolkits.axes_grid1', 'matplotlib', 'yaml')                              # what training itself does not need
OWN = ('critics', 'models.cycle_gan_model', 'models.pix2pix_model')                     # modules whose file lies in another checkout
Cycle = tuple[Callable[[], None], list[nn.Module]]               # one cycle of D and G steps, and all networks


class Nowhere(list[str]):
    """A list of GPUs without one, whose first is the CPU: `voidstrike/ASGIT` keeps its maps on the first."""

    def __getitem__(self, index: Any) -> Any:
        return 'cpu'


@contextmanager
def imports_of(folder: Path) -> Iterator[None]:
    """Imports find a checkout first, and no module of it outlives the block: every repository has a `networks` or `model` of its own."""
    importlib.import_module('torch._dynamo')                     # optimisers load it, and it must not see the stand-ins
    before, stubs = set(sys.modules), {name: MagicMock() for name in ABSENT if name not in sys.modules}
    sys.modules.update(stubs)
    sys.path.insert(0, str(folder))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            origin = str(getattr(sys.modules[name], '__file__', None) or getattr(sys.modules[name], '__path__', ''))
            if name in stubs or str(folder) in origin or name in OWN:
                del sys.modules[name]


def module_of(folder: Path, name: str, replaced: dict[str, str] | None = None, source: Path | None = None) -> ModuleType:
    """Module `name` of a checkout, or of the file `source` under that name, with some of its text replaced."""
    path = source or folder / f'{name.replace(".", "/")}.py'
    text = path.read_text()
    if replaced:                                                 # in one pass: what was put in is not replaced again
        text = re.sub('|'.join(re.escape(old) for old in replaced), lambda found: replaced[found.group()], text)
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__, module.__package__ = str(path), name.rpartition('.')[0]
    sys.modules[name] = module
    exec(compile(text, str(path), 'exec'), module.__dict__)
    return module


def parameters(nets: list[nn.Module]) -> int:
    """How many there are, each once."""
    return sum(p.numel() for p in {id(p): p for net in nets for p in net.parameters()}.values())


def solver_cycle(folder: Path, o: Namespace, x: Tensor, labels: Tensor) -> Cycle:
    """The `Solver` of StarGAN and, unchanged but for its networks, of multi-domain AGGAN: `train` for n_critic iterations."""
    never = 10 ** 9
    config = Namespace(c_dim=labels.shape[1], c2_dim=0, image_size=o.size, g_conv_dim=o.width, d_conv_dim=o.width,
                       g_repeat_num=6,
                       d_repeat_num=min(6, (o.size // 2).bit_length() - 1), lambda_cls=1, lambda_rec=10, lambda_gp=10, dataset='CelebA',
                       num_iters=5, batch_size=len(x),
                       num_iters_decay=never, g_lr=1e-4, d_lr=1e-4, n_critic=5, beta1=0.5, beta2=0.999, resume_iters=None,
                       selected_attrs=[str(i) for i in range(labels.shape[1])], test_iters=0, use_tensorboard=False, log_dir='',
                       sample_dir='', model_save_dir='', result_dir='', log_step=never, sample_step=never, model_save_step=never,
                       lr_update_step=never)
    with imports_of(folder), redirect_stdout(StringIO()):
        solver = importlib.import_module('solver').Solver([(x, labels)], None, config)

    def cycle() -> None:
        with redirect_stdout(StringIO()), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            solver.train()
    return cycle, [solver.G, solver.D]


def stargan(folder: Path, o: Namespace, x: Tensor, y: Tensor, labels: Tensor) -> Cycle:
    return solver_cycle(folder / 'stargan', o, x, labels)


def aggan_multi(folder: Path, o: Namespace, x: Tensor, y: Tensor, labels: Tensor) -> Cycle:
    return solver_cycle(folder / 'AttentionGAN' / 'AttentionGAN-v1-multi', o, x, labels)


def attgan(folder: Path, o: Namespace, x: Tensor, y: Tensor, labels: Tensor) -> Cycle:
    args = Namespace(mode='wgan', gpu=False, lambda_1=100.0, lambda_2=10.0, lambda_3=1.0, lambda_gp=10.0, enc_dim=o.width, enc_layers=5,
                     enc_norm='batchnorm', enc_acti='lrelu', dec_dim=o.width, dec_layers=5, dec_norm='batchnorm', dec_acti='relu',
                     n_attrs=labels.shape[1], shortcut_layers=1, inject_layers=1, img_size=o.size, dis_dim=o.width, dis_norm='instancenorm',
                     dis_acti='lrelu', dis_fc_dim=16 * o.width, dis_fc_norm='none', dis_fc_acti='relu', dis_layers=5, lr=2e-4,
                     betas=(0.5, 0.999))
    replaced = {'64 * 16': f'{o.width} * 16', '1024 *': f'{16 * o.width} *', '(fc_dim, 13,': f'(fc_dim, {labels.shape[1]},'}
    with imports_of(folder / 'AttGAN-PyTorch'), redirect_stdout(StringIO()):
        made = module_of(folder / 'AttGAN-PyTorch', 'attgan', replaced).AttGAN(args)
    a, b = labels, labels.flip(0)

    def cycle() -> None:
        for _ in range(5):
            made.trainD(x, a, a - 0.5, b, b - 0.5)
        made.trainG(x, a, a - 0.5, b, b - 0.5)
    return cycle, [made.G, made.D]


def stgan(folder: Path, o: Namespace, x: Tensor, y: Tensor, labels: Tensor) -> Cycle:
    config = Namespace(attrs=[str(i) for i in range(labels.shape[1])], g_conv_dim=o.width, g_layers=5, shortcut_layers=3, use_stu=True,
                       one_more_conv=True, image_size=o.size, d_conv_dim=o.width, d_fc_dim=16 * o.width, d_layers=5, dataset='one',
                       mode='train', data_root='', crop_size=o.size, batch_size=len(x), cuda=False, summary_dir='', g_lr=2e-4, d_lr=2e-4,
                       beta1=0.5,

                       beta2=0.999, lr_decay_iters=10 ** 9, checkpoint=None, max_iters=0, n_critic=5, thres_int=0.5, lambda_gp=10,
                       lambda1=1,
                       lambda2=10, lambda3=100, summary_step=10 ** 9, sample_step=10 ** 9, checkpoint_step=10 ** 9)
    with imports_of(folder / 'STGAN-pytorch'):
        module = importlib.import_module('agents.stgan')
    optimisers: dict[int, Any] = {}

    def adam(given: Iterator[nn.Parameter], *args: Any) -> Any:  # `train` makes new optimisers whenever it is called: the moments stay
        listed = list(given)
        return optimisers.setdefault(id(listed[0]), optimisers.get(id(listed[0])) or torch.optim.Adam(listed, *args))
    module.optim = Namespace(Adam=adam, lr_scheduler=torch.optim.lr_scheduler)
    module.one_loader = lambda *_: Namespace(train_loader=[(x, labels)], val_loader=[(x, labels)])
    agent = module.STGANAgent(config)

    def cycle() -> None:
        config.max_iters = agent.current_iteration + 5
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            agent.train()
    return cycle, [agent.G, agent.D]


def junyanz(folder: Path, o: Namespace, name: str, x: Tensor, y: Tensor, source: Path | None = None, **changes: Any) -> tuple[Any, Any]:
    """A model of the framework that CycleGAN, pix2pix and their descendants share, and its iteration."""
    opt = Namespace(**{**dict(gpu_ids=Nowhere(), isTrain=True, checkpoints_dir='', name='', preprocess='none', input_nc=3, output_nc=3,
                              ngf=o.width, ndf=o.width, netG='resnet_6blocks', netD='basic', n_layers_D=3, norm='instance', no_dropout=True,
                              init_type='normal', init_gain=0.02, pool_size=50, gan_mode='lsgan', lr=2e-4, beta1=0.5, direction='AtoB',
                              lambda_A=10.0, lambda_B=10.0, lambda_identity=0.0, lambda_L1=100.0, saveDisk=True, verbose=False), **changes})
    with imports_of(folder), redirect_stdout(StringIO()):
        importlib.import_module('models.networks')
        module = module_of(folder, f'models.{name}_model', source=source)
        made = getattr(module, {'cycle_gan': 'CycleGANModel', 'pix2pix': 'Pix2PixModel', 'attention_gan': 'AttentionGANModel',
                                'attn_cycle_gan': 'AttnCycleGANModel'}[name])(opt)
    # the first one's place: as nobody reads what a picture is called
    data = {'A': x, 'B': y, 'A_paths': '', 'B_paths': '', 'ADX': torch.arange(len(x)), 'BDX': torch.arange(len(x))}

    def cycle() -> None:
        made.set_input(data)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            made.optimize_parameters()
    return made, cycle


def cyclegan(folder: Path, o: Namespace, x: Tensor, y: Tensor, labels: Tensor) -> Cycle:
    """junyanz's model file as voidstrike/ASGIT has it, with his networks as Ha0Tang/AttentionGAN has them."""
    made, cycle = junyanz(folder / 'AttentionGAN', o, 'cycle_gan', x, y, folder / 'ASGIT' / 'models' / 'cycle_gan_model.py')
    return cycle, [made.netG_A, made.netG_B, made.netD_A, made.netD_B]


def pix2pix(folder: Path, o: Namespace, x: Tensor, y: Tensor, labels: Tensor) -> Cycle:
    """As `cyclegan`."""
    made, cycle = junyanz(folder / 'AttentionGAN', o, 'pix2pix', x, y, folder / 'ASGIT' / 'models' / 'pix2pix_model.py',
                          netG=f'unet_{o.size}', norm='batch', no_dropout=False, gan_mode='vanilla')
    return cycle, [made.netG, made.netD]


def attentiongan(folder: Path, o: Namespace, x: Tensor, y: Tensor, labels: Tensor) -> Cycle:
    made, cycle = junyanz(folder / 'AttentionGAN', o, 'attention_gan', x, y, lambda_identity=0.5)
    return cycle, [made.netG_A, made.netG_B, made.netD_A, made.netD_B]


def asgit(folder: Path, o: Namespace, x: Tensor, y: Tensor, labels: Tensor) -> Cycle:
    """PHA and RHP; its maps, of 256 px whatever the picture's size, take the picture's. The code has no transfer block here."""
    made, cycle = junyanz(folder / 'ASGIT', o, 'attn_cycle_gan', x, y, netD='posthoc_attn', mask_size=o.size, s1=32, s2=16, concat='rmult')
    for net in (made.netD_A, made.netD_B):
        net.mask_shape = o.size
    return cycle, [made.netG_A, made.netG_B, made.netD_A, made.netD_B]


def aggan(folder: Path, o: Namespace, x: Tensor, y: Tensor, labels: Tensor) -> Cycle:
    """The script's iteration cannot be called, and its last lines index scalars: its passes and losses in its order, a line each.

    As published: identity passes whose weight is 0, one discriminator call a picture.
    """
    widths = {str(64 * i): str(o.width * i) for i in (8, 4, 2, 1)}
    where = folder / 'AttentionGAN' / 'AttentionGAN-v1'
    with imports_of(where):
        models = module_of(where, 'models')
        critics = module_of(where, 'critics', widths, where / 'models.py')
        pool = importlib.import_module('utils').ReplayBuffer
    g_ab, g_ba = models.Generator(ngf=o.width), models.Generator(ngf=o.width)
    d_a, d_b = critics.Discriminator(), critics.Discriminator()
    of_g = torch.optim.Adam(itertools.chain(g_ab.parameters(), g_ba.parameters()), lr=1e-4, betas=(0.5, 0.999))
    of_d = torch.optim.Adam(itertools.chain(d_a.parameters(), d_b.parameters()), lr=1e-4, betas=(0.5, 0.999))
    mse, l1, pools, r = nn.MSELoss(), nn.L1Loss(), (pool(), pool()), 0.5

    def against(score: Tensor, target: float) -> Tensor:
        return mse(score.flatten(), torch.full((len(score),), target))

    def variation(mask: Tensor) -> Tensor:
        return 1e-6 * (mask.diff(dim=3).abs().sum() + mask.diff(dim=2).abs().sum())

    def cycle() -> None:
        of_g.zero_grad()
        loss_idt = 0 * l1(g_ab(y)[0], y) + 0 * l1(g_ba(x)[0], x)
        fake_b, mask_b, _ = g_ab(x)
        back_a, score_b = g_ba(fake_b)[0], d_b(fake_b)
        fake_a, mask_a, _ = g_ba(y)
        back_b, score_a = g_ab(fake_a)[0], d_a(fake_a)
        loss_gan = 0.5 * (against(score_b, 1.0) + against(score_a, 1.0)) + variation(mask_b) + variation(mask_a)
        loss = (1 - r) * loss_gan + r * (10 * (l1(back_a, x) + l1(back_b, y)) + l1(fake_b, x) + l1(fake_a, y)) + loss_idt
        loss.backward()
        of_g.step()
        of_d.zero_grad()
        loss = torch.zeros(())
        for d, real, fake, kept in ((d_a, x, fake_a, pools[0]), (d_b, y, fake_b, pools[1])):
            loss = loss + 0.25 * (against(d(real), 1.0) + against(d(kept.push_and_pop(fake.detach())), 0.0))
        loss.backward()
        of_d.step()
    return cycle, [g_ab, g_ba, d_a, d_b]


def munit(folder: Path, o: Namespace, x: Tensor, y: Tensor, labels: Tensor) -> Cycle:
    h: dict[str, Any] = {'lr': 1e-4, 'beta1': 0.5, 'beta2': 0.999, 'weight_decay': 1e-4, 'display_size': 1, 'init': 'kaiming',
                         'vgg_w': 0, 'gan_w': 1, 'recon_x_w': 10, 'recon_s_w': 1, 'recon_c_w': 1,
                         'recon_x_cyc_w': 0, 'lr_policy': 'constant',
                         'input_dim_a': 3,
                         'input_dim_b': 3, 'gen': {'dim': o.width, 'mlp_dim': 256, 'style_dim': 8, 'activ': 'relu', 'n_downsample': 2,
                                                   'n_res': 4, 'pad_type': 'reflect'},
                         'dis': {'dim': o.width, 'norm': 'none', 'activ': 'lrelu', 'n_layer': 4, 'gan_type': 'lsgan', 'num_scales': 3,
                                 'pad_type': 'reflect'}}
    with imports_of(folder / 'MUNIT'), on_this_device(), patch('torch.utils.serialization.load_lua', None, create=True):
        made = importlib.import_module('trainer').MUNIT_Trainer(h)

    def cycle() -> None:
        with on_this_device():
            made.dis_update(x, y, h)
            made.gen_update(x, y, h)
    return cycle, [made.gen_a, made.gen_b, made.dis_a, made.dis_b]


def drit(folder: Path, o: Namespace, x: Tensor, y: Tensor, labels: Tensor) -> Cycle:
    """Its step with random attributes walks back through a graph whose weights have moved on: today's torch is told not to mind."""
    opts = Namespace(concat=1, no_ms=True, dis_scale=3, input_dim_a=3, input_dim_b=3, dis_norm='None', dis_spectral_norm=False)
    where, w = folder / 'DRIT' / 'src', o.width
    replaced = {'256': str(4 * w), '64': str(w)}
    with imports_of(where), on_this_device():
        module_of(where, 'networks', replaced)
        made = importlib.import_module('model').DRIT(opts)
        made.initialize()
    made.gpu = 0

    def unnoticed(step: Callable[[], Any], moved: tuple[nn.Parameter, ...]) -> None:
        with torch.autograd._unsafe_preserve_version_counter(moved):        # type: ignore[attr-defined]
            step()
    for optimiser, net in ((made.enc_c_opt, made.enc_c), (made.enc_a_opt, made.enc_a), (made.gen_opt, made.gen)):
        optimiser.step = partial(unnoticed, optimiser.step, tuple(net.parameters()))

    def cycle() -> None:
        with on_this_device(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            made.update_D_content(x, y)
            made.update_D_content(x, y)
            made.update_D(x, y)
            made.update_EG()
    return cycle, [made.enc_c, made.enc_a, made.gen, made.disA, made.disB, made.disA2, made.disB2, made.disContent]


def lomit(folder: Path, o: Namespace, x: Tensor, y: Tensor, labels: Tensor) -> Cycle:
    config = {'DATASET': 'CelebA', 'IMG_SIZE': o.size, 'C_DIM': labels.shape[1], 'BATCH_SIZE': len(x), 'G_LR': 1e-4, 'D_LR': 1e-4,
              'BETA1': 0.5, 'BETA2': 0.999, 'LR_POLICY': 'constant', 'INIT': 'kaiming', 'GPU1': 0, 'GPU2': 0, 'DATA_PARALLEL': False,
              'LAMBDA_X_REC': 10.0, 'LAMBDA_X_CYC': 10.0, 'LAMBDA_C': 1.0, 'LAMBDA_S_B': 1.0, 'LAMBDA_S_F': 1.0, 'LAMBDA_CLS': 1.0,
              'LAMBDA_GP': 10.0,
              'LAMBDA_MASK_MIN': 1e-4, 'LAMBDA_MASK_SMOOTH': 0.0, 'LAMBDA_MASK_SIM': 0.1, 'LAMBDA_STYLE_REG': 0.0,
              'G': {'FIRST_DIM': o.width, 'MLP_DIM': 256, 'STYLE_DIM': 8, 'N_RES_BLOCKS': 8},
              'D': {'FIRST_DIM': o.width, 'N_RES_BLOCKS': min(6, (o.size // 2).bit_length() - 1)}}
    with imports_of(folder / 'Highway-Adaptive-Instance-Normalization'):
        module = module_of(folder / 'Highway-Adaptive-Instance-Normalization', 'run',
                           {"config = ges_Aonfig('configs/config_celebA.yaml')\nmain()": ''})
    module.config = config                                       # type: ignore[attr-defined]
    made = object.__new__(module.Run)                            # its constructor looks for pictures first
    made.config, made.device, made.loss = config, torch.device('cpu'), {}
    made.init_network()
    made.train_ready()
    a, b = labels, labels.flip(0)

    def cycle() -> None:
        for i in range(5):
            loss = made.update_D(x, y, a)
            made.update_D(y, x, b, d_loss=loss, update=True)
            if i == 0:
                made.update_G(x, y, a, b)
    return cycle, [made.G, made.D]


@contextmanager
def on_this_device() -> Iterator[None]:
    """`.cuda()` stays where it is."""
    with patch.object(Tensor, 'cuda', lambda self, *_: self), patch.object(nn.Module, 'cuda', lambda self, *_: self):
        yield


SYSTEMS: dict[str, Callable[..., Cycle]] = {f.__name__: f for f in (
    stargan, aggan_multi, attgan, stgan, cyclegan, aggan, attentiongan, asgit, pix2pix, munit, drit, lomit)}


def cycle_of(name: str, folder: Path, o: Namespace, x: Tensor, y: Tensor, labels: Tensor) -> Cycle:
    """One cycle of a system's published code.

    Args:
        name: a key of SYSTEMS.
        folder: where the checkouts of REPOSITORIES lie, by their own names.
        o: `size` in px and `width` in channels.
        x: pictures [N,3,H,W] of the first domain, or all.
        y: pictures of the second domain, the other halves of pairs, or exemplars.
        labels: [N,K] of the first.

    Raises:
        OSError: a checkout is not there.
    """
    random.seed(0)
    torch.manual_seed(0)
    return SYSTEMS[name](folder, o, x, y, labels)
