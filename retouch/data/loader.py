"""Batches as a pure function of the iteration: nothing to save, nothing to restore, the same for any number of processes."""
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from retouch.data.batches import AttributeBatch, DomainBatch, ExemplarBatch, Moment, PairBatch, ParsingBatch, keyed_generator, to_device
from retouch.data.labels import LabelRule, other_classes, single_edits
from retouch.data.parsing import mirrored_classes, warp
from retouch.data.transforms import crop_at, flip_where, to_float


def resident_bytes(device: torch.device) -> int:
    """How large a set may be to live on the device: a third of what a GPU has free, 2 GiB elsewhere."""
    return torch.cuda.mem_get_info(device)[0] // 3 if device.type == 'cuda' else 2 * 2 ** 30


class Pictures:
    """A uint8 set [N,H,W,3]: on the device when it fits, else gathered from the memory map."""

    def __init__(self, images: np.ndarray, device: torch.device) -> None:
        self.device, self.n, self.images = device, len(images), images
        self.tensor = torch.from_numpy(np.array(images)).to(device) if images.nbytes <= resident_bytes(device) else None

    def gather(self, index: Tensor) -> Tensor:
        """index [N] on the CPU -> float32 [N,3,H,W] in [-1,1] on the device."""
        if self.tensor is not None:
            return to_float(self.tensor.index_select(0, to_device(index, self.device)))
        return to_float(to_device(torch.from_numpy(self.images[index.numpy()]), self.device))


class Loader:
    """What all loaders share: order, augmentation, and this process's share of the global batch.

    Args:
        batch_size: pictures per process.
        seed: key of order and draws.
        size: side of the pictures a batch holds; larger stored pictures are cropped at random.
        flip: horizontal flips with probability 1/2.
        device: where batches live.
        rank: this process.
        world: number of processes.
    """

    def __init__(self, batch_size: int, seed: int, size: int, flip: bool, device: torch.device, rank: int = 0, world: int = 1) -> None:
        self.batch_size, self.seed, self.size, self.flip = batch_size, seed, size, flip
        self.device, self.rank, self.world = device, rank, world
        self.orders: dict[tuple[str, int], Tensor] = {}

    def moment(self, iteration: int, iterations: int) -> Moment:
        """The key of this process's draws."""
        return Moment(self.seed, iteration, iterations, self.rank * self.batch_size, self.batch_size, self.world * self.batch_size)

    def global_indices(self, iteration: int, n: int, name: str) -> Tensor:
        """Sample numbers [world * batch] of one iteration: an endless stream of reshuffled epochs over n samples."""
        total = self.world * self.batch_size
        at, end = iteration * total, (iteration + 1) * total
        out = []
        while at < end:                                          # one piece of every epoch that the iteration touches
            epoch, first = divmod(at, n)
            if (name, epoch) not in self.orders:
                self.orders = {k: v for k, v in self.orders.items() if k[0] != name or k[1] >= epoch - 1}
                self.orders[name, epoch] = torch.randperm(n, generator=keyed_generator(self.seed, 'order', name, epoch))
            out.append(self.orders[name, epoch][first:first + end - at])
            at += len(out[-1])
        return torch.cat(out)

    def mine(self, rows: Tensor) -> Tensor:
        """This process's rows of a global draw."""
        return rows[self.rank * self.batch_size:(self.rank + 1) * self.batch_size]

    def augment(self, images: Tensor, moment: Moment, name: str) -> tuple[Tensor, Tensor]:
        """Random crop to `size` and flip, keyed by name. [N,3,H,W] -> the window [N,3,size,size] and its view [N,4] (see DomainBatch)."""
        side = images.shape[-1]
        view = torch.zeros(len(images), 4)
        view[:, 2] = self.size / side
        if side > self.size:
            corner = (moment.uniform(f'crop_{name}', 2) * (side - self.size + 1)).long()
            view[:, :2] = corner / side
            corner = to_device(corner, self.device)
            images = crop_at(images, corner[:, 0], corner[:, 1], self.size)
        if self.flip:
            mirrored = moment.uniform(f'flip_{name}') < 0.5
            view[:, 3] = mirrored
            images = flip_where(images, to_device(mirrored, self.device))
        return images, to_device(view, self.device)


def equally_often(labels: Tensor) -> Tensor:
    """One-hot labels [N,K] -> rows [M] in which every class stands as often as the most frequent one: in turn, and over again."""
    classes = [k.nonzero().flatten() for k in labels.T if k.any()]
    most = max(len(rows) for rows in classes)
    return torch.cat([rows.repeat(-(-most // len(rows)))[:most] for rows in classes])


class AttributeLoader(Loader):
    """AttributeBatch from images uint8 [N,H,W,3] and labels [N,K]; targets are permuted rows, one edit a row, another class, one of two."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, names: tuple[str, ...], targets: str, rule: LabelRule,
                 balance: bool = False, asked: tuple[str, ...] = (), **shared: object) -> None:
        super().__init__(**shared)                               # type: ignore[arg-type]
        self.pictures, self.labels, self.names = Pictures(images, self.device), torch.from_numpy(np.asarray(labels, np.float32)), names
        self.targets, self.rule, self.asked = targets, rule, asked
        self.rows = equally_often(self.labels) if balance else torch.arange(self.pictures.n)

    def batch(self, iteration: int, iterations: int) -> AttributeBatch:
        """The batch of an iteration."""
        moment, pair = self.moment(iteration, iterations), None
        if self.targets == 'pair':
            everyone, pair = self.pair_of(iteration)
        else:
            everyone = self.rows[self.global_indices(iteration, len(self.rows), 'A')]
        index = self.mine(everyone)
        labels = self.labels[index]
        if self.targets == 'pair':
            target = labels.view(-1, 2, labels.shape[1]).flip(1).flatten(0, 1)
        elif self.targets == 'permute':
            order = torch.randperm(len(everyone), generator=keyed_generator(self.seed, iteration, 'targets'))
            target = self.mine(self.labels[everyone[order]])
        elif self.targets == 'other':
            target = other_classes(labels, moment.uniform('targets'))
        else:
            target = single_edits(labels, self.names, moment.uniform('targets'), self.rule, self.asked)
        image, _ = self.augment(self.pictures.gather(index), moment, 'A')
        return AttributeBatch(image, to_device(labels, self.device), to_device(target, self.device), index, moment, pair)

    def pair_of(self, iteration: int) -> tuple[Tensor, tuple[int, int]]:
        """Two different classes and, by turns, rows [world * batch] of either, all drawn at random."""
        draws = keyed_generator(self.seed, iteration, 'pair')
        shown = [k for k in range(self.labels.shape[1]) if self.labels[:, k].any()]
        a, b = (shown[k] for k in torch.randperm(len(shown), generator=draws)[:2].tolist())
        of = [self.labels[:, k].nonzero().flatten() for k in (a, b)]
        rows = [r[torch.randint(len(r), (self.world * self.batch_size // 2,), generator=draws)] for r in of]
        return torch.stack(rows, 1).flatten(), (a, b)


class ExemplarLoader(Loader):
    """ExemplarBatch from images uint8 [N,H,W,3] and labels [N,K]; pictures and exemplars come in two independent orders of one set."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, **shared: object) -> None:
        super().__init__(**shared)                               # type: ignore[arg-type]
        self.pictures, self.labels = Pictures(images, self.device), torch.from_numpy(np.asarray(labels, np.float32))

    def batch(self, iteration: int, iterations: int) -> ExemplarBatch:
        """The batch of an iteration."""
        moment = self.moment(iteration, iterations)
        index, other = (self.mine(self.global_indices(iteration, self.pictures.n, name)) for name in 'AB')
        (image, _), (exemplar, _) = (self.augment(self.pictures.gather(i), moment, name) for i, name in ((index, 'A'), (other, 'B')))
        labels, exemplar_labels = (to_device(self.labels[i], self.device) for i in (index, other))
        return ExemplarBatch(image, labels, exemplar, exemplar_labels, index, other, moment)


class DomainLoader(Loader):
    """DomainBatch from two unpaired sets, each in its own order."""

    def __init__(self, images_a: np.ndarray, images_b: np.ndarray, **shared: object) -> None:
        super().__init__(**shared)                               # type: ignore[arg-type]
        self.a, self.b = Pictures(images_a, self.device), Pictures(images_b, self.device)

    def batch(self, iteration: int, iterations: int) -> DomainBatch:
        """The batch of an iteration."""
        moment = self.moment(iteration, iterations)
        index_a = self.mine(self.global_indices(iteration, self.a.n, 'A'))
        index_b = self.mine(self.global_indices(iteration, self.b.n, 'B'))
        image_a, view_a = self.augment(self.a.gather(index_a), moment, 'A')
        image_b, view_b = self.augment(self.b.gather(index_b), moment, 'B')
        return DomainBatch(image_a, image_b, index_a, index_b, view_a, view_b, moment)

    def first(self, n: int) -> tuple[Tensor, Tensor]:
        """The first n pictures of either domain, cut in the middle: [n,3,size,size], for all processes alike."""
        def cut(pictures: Pictures) -> Tensor:
            images = pictures.gather(torch.arange(min(n, pictures.n)))
            edge = (images.shape[-1] - self.size) // 2
            return images[..., edge:edge + self.size, edge:edge + self.size]

        return cut(self.a), cut(self.b)


class PairLoader(Loader):
    """PairBatch from two aligned sets; both pictures of a pair are cropped and flipped alike."""

    def __init__(self, images_a: np.ndarray, images_b: np.ndarray, **shared: object) -> None:
        super().__init__(**shared)                               # type: ignore[arg-type]
        self.a, self.b = Pictures(images_a, self.device), Pictures(images_b, self.device)

    def batch(self, iteration: int, iterations: int) -> PairBatch:
        """The batch of an iteration."""
        moment = self.moment(iteration, iterations)
        index = self.mine(self.global_indices(iteration, self.a.n, 'A'))
        (image_a, view), (image_b, _) = (self.augment(p.gather(index), moment, 'A') for p in (self.a, self.b))
        return PairBatch(image_a, image_b, index, view, moment)


class ParsingLoader(Loader):
    """ParsingBatch from images uint8 [N,H,W,3] and their parses uint8 [N,H,W]; scaled, shifted and flipped alike.

    Args:
        scale: of the frame, lowest and highest, drawn log-uniformly; (1, 1): none.
        shift: largest in either direction, in fractions of the frame.
    """

    def __init__(self, images: np.ndarray, segmentations: np.ndarray, names: tuple[str, ...], scale: tuple[float, float], shift: float,
                 **shared: object) -> None:
        super().__init__(**shared)                               # type: ignore[arg-type]
        self.pictures, self.segmentations, self.scale, self.shift = Pictures(images, self.device), segmentations, scale, shift
        self.mirrored = torch.arange(256)                        # IGNORED stays what it is
        self.mirrored[:len(names)] = torch.tensor(mirrored_classes(names))

    def batch(self, iteration: int, iterations: int) -> ParsingBatch:
        """The batch of an iteration."""
        moment = self.moment(iteration, iterations)
        index = self.mine(self.global_indices(iteration, self.pictures.n, 'A'))
        image, classes = self.pictures.gather(index), torch.from_numpy(self.segmentations[index.numpy()]).long()
        if self.flip:
            where = moment.uniform('flip') < 0.5
            classes = torch.where(where[:, None, None], self.mirrored[classes.flip(-1)], classes)
            image = flip_where(image, to_device(where, self.device))
        classes = to_device(classes, self.device)
        if self.scale != (1, 1) or self.shift:
            low, high = self.scale
            draws = moment.uniform('warp', 3, device=self.device)
            image, classes = warp(image, classes, low * (high / low) ** draws[:, 0], self.shift * (2 * draws[:, 1:] - 1))
        return ParsingBatch(image, classes, index, moment)
