"""What each command takes, with its help."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class TrainOptions:
    """Train a system from a recipe, or replay a run.json.

    Every field of the run is an option too: --train.iterations 100, --method.lambda-cls 3, --data.size 64;
    `retouch train RECIPE --help` lists them with their values, `retouch list` lists the recipes.
    """

    recipe: Annotated[Positional[str], arg(metavar='RECIPE')]
    """A recipe's name, a run.json or a run directory."""
    data: Annotated[str | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder of pictures (see `retouch data check`), two folders as A,B, or toyfaces; short for --data.source."""
    out: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Run directory; default: runs/RECIPE, below RETOUCH_RUNS if that is set."""
    resume: Annotated[Literal['auto'] | None, arg(metavar='auto', help_behavior_hint='')] = None
    """Continue from the run directory's saved state, if there is one."""
    seed: Annotated[int | None, arg(metavar='S', help_behavior_hint='')] = None
    """Seed of initialisation, sampling and noise."""
    init: Annotated[str | None, arg(metavar='RUN', help_behavior_hint='')] = None
    """Begin with the weights of a run directory, a model directory or a shipped model, as far as they fit; a line names what does not."""
    init_optimiser: Annotated[bool, arg(help_behavior_hint='')] = False
    """With --init: take the state of that run's optimisers too."""
    dry_run: Annotated[bool, arg(help_behavior_hint='')] = False
    """Measure a few iterations (memory, images/s, ETA) without writing a run directory."""
    stop_after: Annotated[int | None, arg(metavar='N', help_behavior_hint='')] = None
    """Save and stop after iteration N, as Ctrl-C would."""


@dataclass(frozen=True)
class EditOptions:
    """Edit pictures of any size: writes NAME.png, NAME.mask.png and NAME.diff.png, all of the input's size.

    Of a folder or a pattern also edits.csv, what was done to each picture.
    """

    model: Annotated[Positional[str], arg(metavar='MODEL')]
    """A run directory, a model directory, a shipped model (toyfaces) or an ONNX file of `retouch export`."""
    images: Annotated[Positional[tuple[str, ...]], arg(metavar='IMAGE…', help_behavior_hint='')]
    """Pictures, folders of pictures, or patterns in quotes ('shots/*/day_*.jpg')."""
    out: Annotated[Path, arg(metavar='DIR')]
    """Folder for the results."""
    set: Annotated[tuple[str, ...], arg(metavar='A=1 B=0 …', help_behavior_hint='')] = ()
    """Attributes to change, 0, 1 or a number between (Smile=0.5); the others stay as they are read."""
    source: Annotated[tuple[str, ...], arg(metavar='A=0 …', help_behavior_hint='')] = ()
    """What the picture shows, where it is misread."""
    reader: Annotated[str | None, arg(metavar='MODEL', help_behavior_hint='')] = None
    """A classifier, or another model of attributes, that says what the picture shows; for a model that cannot."""
    to: Annotated[str | None, arg(metavar='DOMAIN', help_behavior_hint='')] = None
    """Domain to translate to, for models of domains and pairs."""
    box: Annotated[str | None, arg(metavar='X,Y,W,H', help_behavior_hint='')] = None
    """Pixels around which the model's square frame is laid; default: the largest centred square."""
    exemplar: Annotated[Path | None, arg(metavar='IMAGE', help_behavior_hint='')] = None
    """A picture to take the look from, for models that take one; also writes NAME.exemplar-mask.png, where the model has such a mask."""
    mask: Annotated[Path | None, arg(metavar='PNG', help_behavior_hint='')] = None
    """A painted picture, white where changes are allowed; confines any model."""
    exemplar_mask: Annotated[Path | None, arg(metavar='PNG', help_behavior_hint='')] = None
    """A painted picture, white where the exemplar's style is read."""
    strength: Annotated[float, arg(metavar='S')] = 1.0
    """Factor on the change, 0 to 2."""
    batch_size: Annotated[int | None, arg(metavar='N', help_behavior_hint='')] = None
    """Pictures that the network sees at once; default: 8 on an accelerator, 1 on a CPU, where more are no faster and not the same to the
    byte."""
    format: Annotated[Literal['png', 'jpg', 'webp'], arg(metavar='F')] = 'png'
    """Of the edited picture: png, lossless, or jpg or webp, which are encoded anew."""
    quality: Annotated[int | None, arg(metavar='Q', help_behavior_hint='')] = None
    """With --format jpg or webp: 1 to 100; default: 95."""
    recursive: Annotated[bool, arg(help_behavior_hint='')] = False
    """Also pictures in the folders of a folder, which --out then has too."""
    resume: Annotated[bool, arg(help_behavior_hint='')] = False
    """Leave out pictures whose results are in --out already."""
    no_mask: Annotated[bool, arg(help_behavior_hint='')] = False
    """Write the edited picture alone: no mask, no heat map."""
    no_note: Annotated[bool, arg(help_behavior_hint='')] = False
    """Leave out the note and the mark inside the picture that it was edited with AI, by which model and how."""
    device: Annotated[str, arg(metavar='DEVICE')] = 'auto'
    """auto, cpu, cuda or mps."""


@dataclass(frozen=True)
class ExportOptions:
    """Write a model as ONNX or pt2 for programs of your own, compared with torch; `retouch edit m.onnx` runs it without torch."""

    model: Annotated[Positional[str], arg(metavar='MODEL')]
    """A run directory, a model directory or a shipped model (toyfaces)."""
    out: Annotated[Path, arg(metavar='FILE')]
    """The translator's file, m.onnx or m.pt2; m.json, and the reader of attributes where there is one, are written beside it."""
    format: Annotated[Literal['onnx', 'pt2'], arg(metavar='onnx|pt2')] = 'onnx'
    """ONNX, or what torch.export.load reads."""
    half: Annotated[bool, arg(help_behavior_hint='')] = False
    """Store weights as float16, half the size; everything is computed in float32 all the same."""
    json: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print what was written and how far it is from torch as JSON."""


@dataclass(frozen=True)
class AppOptions:
    """Serve a page to edit pictures on, in the browser of this machine: prints its address and opens it."""

    models: Annotated[Positional[tuple[str, ...]], arg(metavar='MODEL…', help_behavior_hint='')] = ()
    """Run directories, model directories, shipped models, or folders that hold such; default: the shipped editors."""
    host: Annotated[str | None, arg(metavar='ADDRESS', help_behavior_hint='')] = None
    """Address to listen on, for other machines to reach; default: 127.0.0.1, this machine alone."""
    port: Annotated[int | None, arg(metavar='PORT', help_behavior_hint='')] = None
    """Port; 0 for any that is free; default: 8420 or, where that is taken, any."""
    no_open: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print the address and open no browser."""
    device: Annotated[str, arg(metavar='DEVICE')] = 'auto'
    """auto, cpu, cuda or mps."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Score a model: a metric card and, for a run directory or with --out, card.json and report.html."""

    model: Annotated[Positional[str], arg(metavar='MODEL')]
    """A run directory, a model directory or a shipped model (toyfaces)."""
    data: Annotated[str | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder of pictures in a layout that fits the model, or toyfaces, instead of its own data."""
    protocol: Annotated[str | None, arg(metavar='P', help_behavior_hint='')] = None
    """What is measured and how; default: the one for the model's data. A paper's numbers: cam, asgit, aggan, lomit or secgan."""
    proxy: Annotated[bool, arg(help_behavior_hint='')] = False
    """With the protocol of a paper: let features of the judge stand in for published weights; such numbers are named proxies."""
    n: Annotated[int | None, arg(metavar='N', help_behavior_hint='')] = None
    """Number of held-out pictures; default: the protocol's, and of a folder all there are."""
    seed: Annotated[int, arg(metavar='S')] = 0
    """Which held-out pictures."""
    size: Annotated[int | None, arg(metavar='PX', help_behavior_hint='')] = None
    """Classifiers: side of the pictures before they are brought to the model's; default: the model's."""
    judge: Annotated[str | None, arg(metavar='MODEL', help_behavior_hint='')] = None
    """The classifier that decides whether an edit worked (default: the shipped one), or the parser that reads pictures made from parses."""
    parser: Annotated[str | None, arg(metavar='MODEL', help_behavior_hint='')] = None
    """Faces with attributes: add PSNR outside the parts of the face that an edit names, by this face parser."""
    out: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder for card.json and report.html; default: the run directory."""
    figures: Annotated[bool, arg(help_behavior_hint='')] = False
    """Also write a grid of edits."""
    study: Annotated[str | None, arg(metavar='MODEL', help_behavior_hint='')] = None
    """Instead of scoring, write to --out a page that asks raters whose edits are better, this model's or MODEL's (or truth, or copy), of
    --n pictures or 40; real: whether a picture is real, one at a time."""
    question: Annotated[Literal['edit', 'realism', 'style', 'background'], arg(metavar='Q')] = 'edit'
    """With --study: what is asked of two sides: edit, realism (which looks more real) or, of exemplars, style or background."""
    edits: Annotated[tuple[str, ...], arg(metavar='A B …', help_behavior_hint='')] = ()
    """What is asked of a system of attributes: Eyeglasses (to its other value), Male=1, Blond_Hair+Pale_Skin; default: each alone."""
    features: Annotated[tuple[str, ...], arg(metavar='A B …', help_behavior_hint='')] = ()
    """Add measures by these networks: inception-v3-compat (FID, Inception score), inception-v3-torchvision, dinov2-vitb14, swav-resnet50,
    lpips-alexnet, judge."""
    weights: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """With --features: folder of their published weights; default: RETOUCH_WEIGHTS, else torch's cache."""
    download: Annotated[bool, arg(help_behavior_hint='')] = False
    """With --features: fetch weights that are missing there."""
    json: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print the card as JSON."""
    device: Annotated[str, arg(metavar='DEVICE')] = 'auto'
    """auto, cpu, cuda or mps."""


@dataclass(frozen=True)
class ScoreOptions:
    """Score edits of any program, as they lie in a folder: the metric card of our models; with --out, card.json and report.html."""

    before: Annotated[Path, arg(metavar='DIR')]
    """Folder of the pictures that were edited."""
    after: Annotated[Path, arg(metavar='DIR')]
    """Folder of the edits, under the same names, whatever the suffix."""
    masks: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder of masks, white where the program says it edited; NAME.mask.png, as `retouch edit` writes them, or NAME.png."""
    regions: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder of regions, white where the edit may show: adds what changed outside and inside."""
    truth: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder of true results: adds how near the edits come to them."""
    judge: Annotated[str | None, arg(metavar='MODEL', help_behavior_hint='')] = None
    """With --set: the classifier that decides whether the edits worked and what else changed; judge is the shipped one of drawn faces."""
    set: Annotated[tuple[str, ...], arg(metavar='A=1', help_behavior_hint='')] = ()
    """With --judge: the one attribute that was asked for."""
    real: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder of real pictures that the edits should look like: adds distances between the two sets, by --judge or --features."""
    n: Annotated[int | None, arg(metavar='N', help_behavior_hint='')] = None
    """The first so many pictures by name; default: all."""
    seed: Annotated[int, arg(metavar='S')] = 0
    """Of the intervals."""
    features: Annotated[tuple[str, ...], arg(metavar='A B …', help_behavior_hint='')] = ()
    """Add measures by these networks, as of `retouch evaluate`: lpips-alexnet, inception-v3-compat, …"""
    weights: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """With --features: folder of their published weights; default: RETOUCH_WEIGHTS, else torch's cache."""
    download: Annotated[bool, arg(help_behavior_hint='')] = False
    """With --features: fetch weights that are missing there."""
    tool: Annotated[str | None, arg(metavar='NAME', help_behavior_hint='')] = None
    """What the card calls the program; default: the folder of the edits."""
    out: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder for card.json and report.html."""
    json: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print the card as JSON."""
    device: Annotated[str, arg(metavar='DEVICE')] = 'auto'
    """auto, cpu, cuda or mps."""


@dataclass(frozen=True)
class CompareOptions:
    """One table of several models' cards, beside the reference rows `copy` and `truth`. Cards of different protocols are refused."""

    models: Annotated[Positional[tuple[str, ...]], arg(metavar='MODEL…', help_behavior_hint='')] = ()
    """Run directories, model directories, shipped models or folders of `evaluate --out`; a model without a card.json is evaluated."""
    out: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder for report.html, with the same edits of all models side by side, and comparison.json; with --suite: of the results, one JSON a
    row and seed, default: runs/leaderboard, below RETOUCH_RUNS if that is set."""
    suite: Annotated[str | None, arg(metavar='NAME', help_behavior_hint='')] = None
    """Instead of models: train and score every method on one task and budget (toyfaces), then print the table. Hours; stops and goes on."""
    only: Annotated[tuple[str, ...], arg(metavar='RECIPE …', help_behavior_hint='')] = ()
    """With --suite: rows to run; default: all."""
    seeds: Annotated[tuple[int, ...], arg(metavar='S …', help_behavior_hint='')] = ()
    """With --suite: seeds to run, of those that a row is planned with; default: all."""
    n: Annotated[int | None, arg(metavar='N', help_behavior_hint='')] = None
    """With --suite: number of held-out faces; default: 500."""
    threads: Annotated[int | None, arg(metavar='T', help_behavior_hint='')] = None
    """With --suite: CPU threads of training; default: torch's choice, with --jobs its share of the cores."""
    jobs: Annotated[int | None, arg(metavar='J', help_behavior_hint='')] = None
    """With --suite: rows that run side by side, a process each; default: one after another. Fewer where memory is short."""
    print_commands: Annotated[bool, arg(help_behavior_hint='')] = False
    """With --suite: run nothing, print one command a row, for the machines of a cluster that share the folders."""
    parser: Annotated[str | None, arg(metavar='MODEL', help_behavior_hint='')] = None
    """With --suite: the face parser that guides SeCGAN; default: one that is trained first."""
    print: Annotated[bool, arg(help_behavior_hint='')] = False
    """With --suite: run nothing, print the table of what there is."""
    json: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print JSON."""


@dataclass(frozen=True)
class StudyOptions:
    """What raters answered on the page of `retouch evaluate --study`: the share of votes for each system, in all and by edit."""

    folder: Annotated[Positional[Path], arg(metavar='DIR')]
    """The folder of the study."""
    answers: Annotated[Positional[tuple[Path, ...]], arg(metavar='ANSWERS…', help_behavior_hint='')] = ()
    """The raters' files; default: answers*.json in the folder."""
    json: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print JSON."""


@dataclass(frozen=True)
class CheckOptions:
    """Recognise a folder's layout; list counts, sizes, unreadable files, label balance and mask polarity."""

    folder: Annotated[Positional[Path], arg(metavar='DIR')]
    """The folder."""
    json: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print JSON."""
    sheet: Annotated[Path | None, arg(metavar='PNG', help_behavior_hint='')] = None
    """Write a contact sheet of the pictures."""


@dataclass(frozen=True)
class ImportOptions:
    """Weights that others published -> a model directory like any other. Local files only; nothing in them is executed."""

    source: Annotated[Positional[str], arg(metavar='SOURCE')]
    """The method that runs them: stargan, aggan_multi, attgan, stgan; cyclegan, attentiongan, aggan, asgit, munit, drit; pix2pix,
    asgit_pairs."""
    files: Annotated[Positional[tuple[Path, ...]], arg(metavar='FILE…', help_behavior_hint='')]
    """The files, as their authors name them."""
    out: Annotated[Path, arg(metavar='DIR')]
    """The model directory, made if missing."""
    attributes: Annotated[tuple[str, ...], arg(metavar='A,B …', help_behavior_hint='')] = ()
    """Labels in the order of the training; default: the published ones, where there are such."""
    exclusive: Annotated[bool, arg(help_behavior_hint='')] = False
    """stargan, aggan_multi: the attributes exclude each other, as RaFD's expressions do."""
    domains: Annotated[tuple[str, ...], arg(metavar='A,B', help_behavior_hint='')] = ()
    """What to call the two domains, first that of the pictures given; default: A,B."""
    size: Annotated[int | None, arg(metavar='PX', help_behavior_hint='')] = None
    """Side of the pictures, where no file says it; default: as published."""
    setting: Annotated[Path | None, arg(metavar='FILE', help_behavior_hint='')] = None
    """attgan: the setting.txt of the training; default: the one beside the file or its folder."""
    trained_on: Annotated[str | None, arg(metavar='NAME', help_behavior_hint='')] = None
    """The training set, for the terms that come with it (CelebA, CelebA-HQ, RaFD are known); default: the published one."""


@dataclass(frozen=True)
class PushOptions:
    """A model directory to the Hugging Face Hub: weights, config, card, and a README made of them. Needs retouch[hub] and a login."""

    model: Annotated[Positional[str], arg(metavar='MODEL')]
    """A run directory or a model directory."""
    repository: Annotated[Positional[str], arg(metavar='USER/MODEL')]
    """Where to; made if there is none."""
    licence: Annotated[str | None, arg(metavar='ID', help_behavior_hint='')] = None
    """Licence of the weights, e.g. cc-by-4.0; default: the one that an import recorded."""
    data_terms: Annotated[str | None, arg(metavar='TEXT', help_behavior_hint='')] = None
    """Terms of the training data; default: those that an import recorded, none for drawn faces."""
    private: Annotated[bool, arg(help_behavior_hint='')] = False
    """A new repository is private."""
    dry_run: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print the README and contact nobody."""


@dataclass(frozen=True)
class ListOptions:
    """Methods, recipes with their parameter counts, and data layouts."""

    json: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print JSON."""


@dataclass(frozen=True)
class ReproduceOptions:
    """A paper's table and ours side by side, from one command; without a table, the list of all: what each needs, its state and hours.

    Trains what is missing, a row at a time, scores it, and writes table.json, table.md and report.html. Stopped, the same command goes on.
    """

    table: Annotated[Positional[str | None], arg(metavar='TABLE', help_behavior_hint='')] = None
    """A table or figure, such as cam.table1."""
    data: Annotated[str | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """The data set as it is handed out, a folder of several sets, or toyfaces."""
    rows: Annotated[tuple[str, ...], arg(metavar='ROW …', help_behavior_hint='')] = ()
    """Rows to run, such as attgan,attgan+cam; default: all."""
    scale: Annotated[Literal['full', 'small', 'tiny'], arg(metavar='full|small|tiny')] = 'full'
    """As published; for CPUs, at 64 px; or two iterations, to see that everything runs."""
    judge: Annotated[str | None, arg(metavar='MODEL', help_behavior_hint='')] = None
    """The classifier that decides whether an edit worked; default: one that is trained first, on the rows' own split."""
    parser: Annotated[str | None, arg(metavar='MODEL', help_behavior_hint='')] = None
    """The face parser, for tables that need one."""
    masks: Annotated[str | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """CelebAMask-HQ, from which a face parser is trained where none is given."""
    weights: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder of published weights of networks that score; default: RETOUCH_WEIGHTS, else torch's cache."""
    out: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder of all tables, their runs and rows; default: runs/reproduce, below RETOUCH_RUNS if that is set."""
    dry_run: Annotated[bool, arg(help_behavior_hint='')] = False
    """Train nothing: print the files in train and test, hours from measured steps, memory, and the weights that are missing."""
    json: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print JSON."""
    device: Annotated[str, arg(metavar='DEVICE')] = 'auto'
    """auto, cpu, cuda or mps; of scoring."""
