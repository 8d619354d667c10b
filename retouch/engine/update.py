"""The contract between a method and the engine: the step returns, the engine acts."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from retouch.data.spec import DataSpec
from retouch.errors import unknown

if TYPE_CHECKING:                                                # an exported model answers the same requests without torch
    from torch import Tensor, nn
    from torch.optim import Optimizer

Keep = dict[str, Any]


def Adam(parameters: Iterable[Any], **options: Any) -> Optimizer:
    """torch's, in one pass over weights, gradients and moments in place of a dozen: a fifth of the time for 2.6 million on a CPU thread."""
    import torch

    return torch.optim.Adam(parameters, fused=True, **options)


def RMSProp(parameters: Iterable[Any], **options: Any) -> Optimizer:
    """torch's; `alpha` is what others call decay."""
    import torch

    return torch.optim.RMSprop(parameters, **options)


@dataclass(frozen=True, slots=True)
class Step:
    """What one loss function hands back to the engine."""

    loss: Tensor                                             # [] scalar, minimised
    logs: dict[str, Tensor] = field(default_factory=dict)    # [] detached, named as in the paper
    images: dict[str, Tensor] = field(default_factory=dict)  # [N,1|3,H,W] detached; columns of the sample grid
    keep: Keep = field(default_factory=dict)                 # what a later Update of the same iteration may reuse; see `with_graph`
    parts: Keep = field(default_factory=dict)                # what a system built on this one may use inside the step; never kept


def with_graph(**tensors: Tensor) -> Keep:
    """What a step may keep for an Update that learns through it: the tensors, or nothing where no graph was built (`Update.ahead`)."""
    return tensors if all(t.requires_grad for t in tensors.values()) else {}


@dataclass(frozen=True, slots=True)
class Update:
    """One optimiser step as data: which networks learn, from which loss, how often, by which rule."""

    name: str                                                # optimiser key, e.g. 'D'
    nets: tuple[str, ...]                                    # keys into trainable.nets; all others rest frozen
    step: Callable[[Any, Keep], Step]                        # a bound method: (batch, kept) -> Step
    optimiser: Callable[[Iterable[nn.Parameter]], Optimizer]
    schedule: Callable[[int, int], float]                    # (iteration, iterations) -> factor on the learning rate
    every: int = 1                                           # length of the cycle in iterations
    at: tuple[int, ...] = (-1,)                              # which iterations of every cycle; (-1,): its last
    first: int = 0                                           # does not run before this iteration
    within: tuple[float, float] = (0.0, 1.0)                 # share of the training in which it runs: from, and up to
    among: Callable[[Any], tuple[str, ...]] | None = None    # which of `nets` learn from this batch; the others rest, moments and all
    clip: float | None = None                                # largest norm of the gradient of its nets together; None: as it is
    clamp: float | None = None                               # largest absolute weight of its nets after the step; None: any
    shares: str | None = None                                # an earlier Update whose optimiser, moments and all, makes this step too
    ahead: tuple[str, ...] = ()                              # nets that build their graph here for a later Update of the same iteration

    def runs_at(self, iteration: int, iterations: int) -> bool:
        """Whether this Update runs in the given 0-based iteration of so many."""
        begins, ends = (round(share * iterations) for share in self.within)
        return max(self.first, begins) <= iteration < ends and iteration % self.every in {a % self.every for a in self.at}


@dataclass(frozen=True, slots=True)
class Translation:
    """What a method makes of a request: the picture, where it was allowed to change, and explanations.

    Translation and requests hold tensors for methods, NumPy arrays for `Model.translate` and the editor.
    """

    image: Tensor                                            # [N,3,H,W] in [-1,1]
    mask: Tensor | None = None                               # [N,1,H,W] in [0,1], 1 = may change; None: the system has no edit mask
    extras: dict[str, Tensor] = field(default_factory=dict)  # e.g. content, an explaining Grad-CAM; never composited


Noise = Mapping[str, 'Tensor'] | None     # name -> [N,...] instead of what `fixed_noise` of the method draws for every picture; None: that


@dataclass(frozen=True, slots=True)
class AttributeRequest:
    """Change attributes: from what the picture shows to what is wanted."""

    image: Tensor                                            # [N,3,H,W] in [-1,1]
    source: Tensor                                           # [N,K] in {0,1}
    target: Tensor                                           # [N,K] in {0,1}
    noise: Noise = None


@dataclass(frozen=True, slots=True)
class DomainRequest:
    """Change the domain of a whole picture."""

    image: Tensor                                            # [N,3,H,W] in [-1,1]
    to: str                                                  # a name in the model's DataSpec.domains
    exemplar: Tensor | None = None                           # [N,3,H,W] of domain `to`, whose style is wanted, where a system reads one
    noise: Noise = None

    def __post_init__(self) -> None:
        if self.exemplar is not None and self.exemplar.shape != self.image.shape:
            raise ValueError(f'exemplar {tuple(self.exemplar.shape)}: expected one for every picture, {tuple(self.image.shape)}')


def generator_to(to: str, data: DataSpec) -> Literal['G', 'F']:
    """The net that makes pictures of a domain: 'G' of the second, 'F' of the first. ValueError where there is no such domain or net."""
    if to not in data.domains:
        raise unknown('domain', to, data.domains)
    source, target = data.domains
    if to == source and data.one_way:
        raise ValueError(f'this model makes {target} of {source} alone, not {source} of {target}: the other direction is another model; '
                         f'train or import that for --to {source}')
    return 'G' if to == target else 'F'


@dataclass(frozen=True, slots=True)
class ExemplarRequest:
    """Give a picture's foreground the style of an exemplar's. A painted mask takes the place of the model's own; 1 = foreground."""

    image: Tensor                                            # [N,3,H,W] in [-1,1]
    exemplar: Tensor                                         # [N,3,H,W] in [-1,1]
    mask: Tensor | None = None                               # [N,1,H,W] in [0,1], of the picture
    exemplar_mask: Tensor | None = None                      # [N,1,H,W] in [0,1], of the exemplar


@runtime_checkable
class Trainable(Protocol):
    """Anything the engine can train: a translation method, a classifier, a parser."""

    id: ClassVar[str]
    kind: ClassVar[str]                                      # batch kind: 'attributes' | 'domains' | 'pairs' | 'parsing' | 'exemplars'
    nets: nn.ModuleDict
    inference_nets: tuple[str, ...]                          # what a model directory holds (and EMA follows)
    data: DataSpec
    config: Any

    def updates(self) -> tuple[Update, ...]:
        """The Updates of one iteration, in order.

        A system that measures its set before it learns has `look_at(first)`, too: called once, before the first iteration of a training,
        with `DomainLoader.first`; what it keeps in buffers goes into the state.
        """
        ...

    @classmethod
    def tiny(cls) -> Trainable:
        """The smallest legal form, for tests."""
        ...


@runtime_checkable
class Method(Trainable, Protocol):
    """A Trainable that translates pictures."""

    def translate(self, request: Any) -> Translation:
        """Answer an AttributeRequest, DomainRequest or ExemplarRequest."""
        ...
