"""What a training may say of its data: one frozen configuration for every kind of batch."""
from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from retouch.config import Config
from retouch.data.frame import Ground
from retouch.data.parsing import ALL_IDS, TWELVE, Ids
from retouch.toyfaces.stored import HELD_OUT


def check_load_size(config: Any) -> Any:
    """Returns a DomainData or PairData whose random crop fits; ValueError otherwise."""
    if config.load_size is not None and config.load_size < config.size:
        raise ValueError(f'load_size={config.load_size} is below size={config.size}: raise --data.load-size, or set it to none')
    return config


class AttributeData(Config):
    """Pictures with binary attributes."""

    kind: Literal['attributes'] = 'attributes'
    source: str = 'toyfaces'
    """'toyfaces', or a folder in a layout that `retouch data check` knows."""
    attributes: tuple[str, ...] = ()
    """Columns to use, in order; empty: all there are. Of drawn faces also Smile, Mouth_Opening, Brow_Height and Eye_Opening, by degrees."""
    one_of: bool = False
    """Keep only drawn faces that show exactly one of `attributes`, so that these are one class a picture (toyfaces)."""
    size: int = Field(default=128, gt=0)
    """Side of the pictures in pixels."""
    crop: int | None = Field(default=None, gt=0)
    """Central square cut from every picture before it is resized, in pixels; None: the largest."""
    ground: Ground = 'white'
    """What transparent pictures are laid over."""
    flip: bool = True
    window: int | None = Field(default=None, gt=0)
    """Side of the windows of a picture that training sees, cut at random, in pixels; None: all of the picture."""
    targets: Literal['permute', 'single', 'other', 'pair'] = 'permute'
    """Training targets: other rows of the batch (the papers), one edited attribute a row, another class (class folders), or batches of two
    classes drawn at random, by turns, each to become the other."""
    asked: tuple[str, ...] = ()
    """Attributes that targets='single' asks for; a name given twice is asked for twice as often; empty: all alike."""
    balance: bool = False
    """Show pictures of every class as often, however many it has (class folders)."""
    n: int = Field(default=4000, gt=0, le=HELD_OUT)
    """Drawn faces in the training set (toyfaces only)."""
    holdout: int = Field(default=2000, ge=0)
    """Last pictures of a folder that training never sees (at most a fifth of it)."""
    validation: int = Field(default=0, ge=0)
    """Pictures before those that are neither learned from nor scored (in proportion, where a fifth is less than `holdout`)."""
    people: int = Field(default=0, ge=0)
    """Of files named as RaFD's: hold out every picture of so many people, the last by their number, in place of the last pictures. A set
    none of whose files is named so is split as any other."""
    test_share: float | None = Field(default=None, gt=0, lt=1)
    """Share of a folder's pictures, of two domains of each, that is drawn at random, by `seed`, and held out in place of a test part."""
    limit: int | None = Field(default=None, gt=0)
    """At most so many pictures with the one attribute, and without it, in each part, drawn at random by `seed` (folders)."""
    seed: int = 0
    """Which drawn set; of a folder, which pictures `test_share` and `limit` draw."""

    @model_validator(mode='after')
    def _fits(self) -> Self:
        if self.window is not None and self.window > self.size:
            raise ValueError(f'window={self.window} is above size={self.size}: expected at most the picture; lower --data.window, or '
                             'set it to none')
        if self.asked and self.targets != 'single':
            raise ValueError(f'asked with targets={self.targets}: it says what single edits are of; set --data.targets single, or leave '
                             'out --data.asked')
        if self.limit is not None and len(self.attributes) != 1:
            raise ValueError(f'limit={self.limit} with {len(self.attributes) or "all"} attributes: it counts pictures with and without '
                             'one; expected one in --data.attributes, or --data.limit none')
        return self


class DomainData(Config):
    """Two unpaired sets of pictures."""

    kind: Literal['domains'] = 'domains'
    source: str = 'toyfaces'
    """'toyfaces', a folder with trainA, trainB, testA, testB, two folders as 'A,B', or a folder of labelled pictures."""
    attribute: str = 'Eyeglasses'
    """Toyfaces and labelled pictures: domain A lacks it, domain B has it. Black_Hair/Blond_Hair: A has the first and not the second, B the
    second and not the first (of drawn faces, hair colours). Male+Facial_Hair: A lacks both, B has both (labelled pictures).
    Night: A holds every other face as drawn, B the faces between them at night (toyfaces)."""
    size: int = Field(default=256, gt=0)
    load_size: int | None = 286
    """Side to which pictures are resized before a random crop of `size`; None: no crop."""
    crop: int | None = Field(default=None, gt=0)
    """Central square cut from every picture of a folder before it is resized, in pixels; None: the whole, squashed."""
    flip: bool = True
    n: int = Field(default=4000, gt=0, le=HELD_OUT)
    holdout: int = Field(default=2000, ge=0)
    """Labelled pictures: the last, of either domain, that training never sees (at most a fifth)."""
    validation: int = Field(default=0, ge=0)
    """Labelled pictures before those that are neither learned from nor scored."""
    test_share: float | None = Field(default=None, gt=0, lt=1)
    """Share of a folder's pictures of each domain that is drawn at random, by `seed`, and held out in place of the set's own test part."""
    limit: int | None = Field(default=None, gt=0)
    """At most so many pictures of each domain in each part, drawn at random by `seed` (labelled pictures)."""
    seed: int = 0
    """Which drawn set; of a folder, which pictures `test_share` and `limit` draw."""

    @model_validator(mode='after')
    def _crop_fits(self) -> Self:
        return check_load_size(self)


class PairData(Config):
    """Aligned pictures."""

    kind: Literal['pairs'] = 'pairs'
    source: str = 'toyfaces'
    """'toyfaces' (parse and picture), a folder of side-by-side files, or two folders as 'A,B'."""
    edit: str | None = None
    """Toyfaces: an attribute; A holds the faces that lack it, B the same faces with it. None: parse and picture."""
    direction: Literal['a_to_b', 'b_to_a'] = 'a_to_b'
    """Which picture is given and which is wanted."""
    size: int = Field(default=256, gt=0)
    load_size: int | None = 286
    flip: bool = True
    n: int = Field(default=4000, gt=0, le=HELD_OUT)
    """Drawn faces in the training set, before those that have the attribute of an edit are left out (toyfaces only)."""
    test_share: float | None = Field(default=None, gt=0, lt=1)
    """Share of a folder's pairs that is drawn at random, by `seed`, and held out in place of the set's own test part."""
    seed: int = 0
    """Which drawn set; of a folder, which pairs `test_share` draws."""

    @model_validator(mode='after')
    def _crop_fits(self) -> Self:
        return check_load_size(self)


class ParsingData(Config):
    """Pictures with the class of every pixel."""

    kind: Literal['parsing'] = 'parsing'
    source: str = 'toyfaces'
    """'toyfaces', or a folder of images/ and masks/ with equal names."""
    ids: Ids | Literal['cityscapes'] = 'celebamask'
    """What the ids in a folder's masks mean: the order of CelebAMask-HQ's README, of face-parsing.PyTorch, the twelve classes, or
    Cityscapes' nineteen train ids, of which 255 is none."""
    classes: Literal['twelve', 'nineteen'] = 'twelve'
    """What the parser learns: SeCGAN's twelve, or CelebAMask-HQ's nineteen as they are (folders only)."""
    size: int = Field(default=128, gt=0)
    scale: tuple[float, float] = (1.0, 1.0)
    """Random scale of the frame in training, lowest and highest; below 1 the face gets smaller."""
    shift: float = Field(default=0.0, ge=0, le=0.5)
    """Largest random shift in training, in fractions of the frame."""
    flip: bool = True
    n: int = Field(default=4000, gt=0, le=HELD_OUT)
    holdout: int = Field(default=2000, ge=0)
    """Last pictures that training never sees: at most a tenth of a folder; drawn faces of their own."""
    seed: int = 0

    @model_validator(mode='after')
    def _fits(self) -> Self:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f'scale={self.scale[0]},{self.scale[1]}: expected the lowest first, both above 0; try --data.scale 0.75,1.1')
        if self.classes == 'nineteen' and (self.source == 'toyfaces' or self.ids == 'twelve'):
            what = 'toyfaces' if self.source == 'toyfaces' else 'masks with ids=twelve'
            raise ValueError(f'classes=nineteen of {what}: there are twelve; set --data.classes twelve')
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The classes in the parser's order."""
        return ALL_IDS[self.ids] if self.classes == 'nineteen' or self.ids == 'cityscapes' else TWELVE


class ExemplarData(Config):
    """Labelled pictures, two at a time: one to translate and one to take the style from."""

    kind: Literal['exemplars'] = 'exemplars'
    source: str = 'toyfaces'
    """'toyfaces', or a folder of attributes in a layout that `retouch data check` knows."""
    attributes: tuple[str, ...] = ()
    """Columns to use, in order; empty: all there are."""
    any_of: tuple[str, ...] = ()
    """Keep only pictures that show at least one of these, columns of `attributes` or others; empty: keep all."""
    size: int = Field(default=128, gt=0)
    """Side of the pictures in pixels."""
    crop: int | None = Field(default=None, gt=0)
    """Central square cut from every picture before it is resized, in pixels; None: the largest."""
    flip: bool = True
    n: int = Field(default=4000, gt=0, le=HELD_OUT)
    """Drawn faces in the training set, before `any_of` (toyfaces only)."""
    holdout: int = Field(default=2000, ge=0)
    """Last pictures of a folder, before `any_of`, that training never sees (at most a fifth of it)."""
    validation: int = Field(default=0, ge=0)
    """Pictures before those that are neither learned from nor scored."""
    seed: int = 0
    """Which drawn set (toyfaces only)."""


DataConfig = Annotated[AttributeData | DomainData | PairData | ParsingData | ExemplarData, Field(discriminator='kind')]
