"""Cards of one protocol beside each other, what models differ by on the same pictures, and where the card of a model lies."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from retouch.config import Config
from retouch.evaluation.card import Card
from retouch.evaluation.papers import column_to_text
from retouch.evaluation.tallies import read_tallies
from retouch.files import read_json
from retouch.metrics import bootstrap
from retouch.metrics.bootstrap import Tally
from retouch.metrics.measure import Measure, about, difference_to_text, measure_to_text
from retouch.model import CONFIG, SHIPPED, find_model_dir


class Comparison(Config):
    """Models beside each other, with the reference rows of the first card."""

    measures: tuple[str, ...]
    rows: dict[str, dict[str, Measure]]
    paper: dict[str, dict[str, str]] = {}
    """Of cards under one paper's names: model -> the paper's column -> its text."""
    differences: dict[str, dict[str, Measure]] = {}
    """Model -> measure -> its value less the first model's, with the interval of that difference on the same pictures (paired bootstrap);
    of measures whose sums are known for both and which both have."""

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows as text: name, then `value [low, high]` for every measure."""
        return (['model', *self.measures],
                [[name, *(measure_to_text(row.get(m)) for m in self.measures)] for name, row in self.rows.items()])

    def paper_cells(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows as text: name, then the numbers of a paper under its names."""
        names = list(dict.fromkeys(name for row in self.paper.values() for name in row))
        return ['as in the paper', *names], [[name, *(row.get(column, '–') for column in names)] for name, row in self.paper.items()]

    def difference_cells(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows as text: name, then `difference [low, high]` for every measure that has one, with * where that leaves out 0."""
        names = [m for m in self.measures if any(m in found for found in self.differences.values())]
        return (['less the first model', *names],
                [[name, *(difference_to_text(found.get(m)) for m in names)] for name, found in self.differences.items()])

    def to_markdown(self) -> str:
        """The table as GitHub markdown; before it a paper's own columns, after it the differences, if there are any."""
        tables = [*([self.paper_cells()] if self.paper else []), self.cells(), *([self.difference_cells()] if self.differences else [])]
        return '\n'.join(''.join(f'| {" | ".join(line)} |\n' for line in (header, ['---'] + ['---:'] * (len(header) - 1), *rows))
                         for header, rows in tables)


def cards_to_comparison(cards: Mapping[str, Card], tallies: Mapping[str, Mapping[str, Tally]] | None = None) -> Comparison:
    """One table from cards of one protocol.

    Args:
        cards: name -> card, in the order of the rows.
        tallies: name -> measure -> the sums behind it, of those cards where they are known (see `tallies.read_tallies`).

    Returns:
        the values, and for every measure whose sums are known for both the difference to the first model.

    Raises:
        ValueError: no card, or cards that differ in protocol, data, split, n, seed, judge, attributes or a shared extractor, with both.
    """
    if not cards:
        raise ValueError('no card to compare: expected at least one evaluated model; run `retouch evaluate` first')
    whole, cards = cards, in_common_directions(cards)
    if any(card is not whole[name] for name, card in cards.items()):
        tallies = None                                           # they are of all directions
    first_name, first = next(iter(cards.items()))

    def facts(card: Card) -> dict[str, object]:
        # a folder may be spelt in many ways: the hash of its pictures decides
        source = card.data.source if card.data.source == 'toyfaces' else 'a folder'
        unseen = card.data.hash == first.data.hash and {card.data.split, first.data.split} <= {'held-out', 'whole'}
        split = first.data.split if unseen else card.data.split  # the same pictures, whichever of the models was trained on their set
        return {'protocol': card.protocol, 'data source': source, 'split': split, 'data hash': card.data.hash,
                'picture size': card.data.size,
                'label rule': card.data.rule, 'attributes': list(card.data.attributes), 'n': card.n, 'seed': card.seed,
                'judge': card.judge.sha256 if card.judge else None}

    expected = facts(first)
    extractors: dict[str, tuple[str, str]] = {}                  # extractor -> its hash and the first card that used it
    for name, card in cards.items():
        for what, value in facts(card).items():
            if value != expected[what]:
                raise ValueError(f'{name} has {what} {value}, {first_name} has {expected[what]}: cards compare only under one protocol; '
                                 'evaluate both the same way')
        for extractor, digest in card.extractors.items():
            known, user = extractors.setdefault(extractor, (digest, name))
            if digest != known:
                raise ValueError(f'{name} has extractor {extractor} {digest[:12]}, {user} has {known[:12]}: cards compare only under one '
                                 'protocol; evaluate both the same way')
    rows = {name: card.measures for name, card in cards.items()}
    for name in ('copy', 'truth'):
        if name in first.references:
            rows[f'{name} (reference)' if name in cards else name] = first.references[name]
    names = dict.fromkeys(measure for row in rows.values() for measure in row)
    sums = dict(tallies or {})
    base, differences = sums.get(first_name, {}), dict[str, dict[str, Measure]]()
    for name in list(cards)[1:]:
        found = {measure: bootstrap.tallies_to_difference(base[measure], sums[name][measure], first.seed)
                 for measure in base if measure in sums.get(name, {})}
        measured = {measure: Measure(value=value, low=low, high=high, unit=about(measure).unit)
                    for measure, (value, low, high) in found.items() if value is not None}
        if measured:
            differences[name] = measured
    asked = {card.paper for card in cards.values()}
    paper = {name: {column.name: column_to_text(column, card.measures) for column in card.paper_columns} for name, card in cards.items()}
    one = len(asked) == 1 and None not in asked
    return Comparison(measures=tuple(names), rows=rows, differences=differences, paper=paper if one else {})


def in_common_directions(cards: Mapping[str, Card]) -> dict[str, Card]:
    """Cards of pairs cut down to the directions that all of them have: a system of one direction compares with that of the others."""
    directions = [card.data.attributes for card in cards.values()]
    common = tuple(way for way in directions[0] if all(way in some for some in directions))
    if {card.protocol for card in cards.values()} != {'pairs'} or not common or all(some == common for some in directions):
        return dict(cards)

    def of(measures: Mapping[str, Measure], alone: bool) -> dict[str, Measure]:
        found = {}
        for name, measure in measures.items():
            each, (base, _, way) = measure.per_attribute or {}, name.partition('[')
            if set(common) <= set(each):                         # no interval: it was of all directions together
                values = [each[way] for way in common]
                mean = None if None in values else sum(v for v in values if v is not None) / len(values)
                found[name] = Measure(value=mean, per_attribute=dict(zip(common, values, strict=True)), unit=measure.unit)
            elif len(common) == 1 and way.rstrip(']') == common[0]:
                found[base] = measure                            # of classes that were read in this direction
            elif alone:
                found[name] = measure
        return found

    def cut(card: Card) -> Card:
        alone = card.data.attributes == common
        counted = {way: (card.data.count or {}).get(way, card.n) for way in common}
        data = card.data.model_copy(update={'attributes': common, 'count': counted})
        columns = tuple(column for column in card.paper_columns if set(column.rows) & set(common) or (alone and not column.rows))
        return card.model_copy(update={'data': data, 'measures': of(card.measures, alone), 'paper_columns': columns,
                                       'references': {name: of(row, alone) for name, row in card.references.items()}})
    return {name: cut(card) for name, card in cards.items()}


# ---- where cards lie

def is_card(name: str | Path) -> bool:
    """Whether it is the folder of an `evaluate --out`: a card without its model."""
    folder = Path(name)
    if str(name) in SHIPPED or not (folder / 'card.json').is_file():
        return False
    return not any((place / CONFIG).is_file() for place in (folder, folder / 'model'))


def find_card(name: str | Path) -> tuple[Card, dict[str, Tally]] | None:
    """A card, or that beside a model, with its tallies if there are any; None for a model without one.

    Raises:
        ValueError: no such model, a card that cannot be read or is of other weights.
    """
    if is_card(name):
        return Card.read(Path(name) / 'card.json'), read_tallies(Path(name))
    folder = find_model_dir(name)
    for place in (folder, folder.parent) if folder.name == 'model' else (folder,):
        if (place / 'card.json').is_file():
            card = Card.read(place / 'card.json')
            if card.checkpoint.sha256 != read_json(folder / CONFIG, 'the file that training wrote').get('sha256'):
                raise ValueError(f'{place / "card.json"} is the card of other weights than {folder}: run `retouch evaluate {name}` again')
            return card, read_tallies(place)
    return None
