"""The mark that photo tools read: IPTC's digital source type, in XMP, beside whatever XMP the picture has already.

Sources: IPTC Photo Metadata Standard, property Digital Source Type (Iptc4xmpExt:DigitalSourceType) and its NewsCodes; XMP Specification
Part 3 for where a packet lies in PNG and JPEG.
"""
from __future__ import annotations

import re
from typing import NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from PIL import Image

SOURCE_TYPES = 'http://cv.iptc.org/newscodes/digitalsourcetype/'
COMPOSITE = f'{SOURCE_TYPES}compositeWithTrainedAlgorithmicMedia'
EXTENSION, PROPERTY = 'http://iptc.org/std/Iptc4xmpExt/2008-02-29/', 'DigitalSourceType'
RDF = 'http://www.w3.org/1999/02/22-rdf-syntax-ns#'
LONG = 'http://ns.adobe.com/xmp/note/'           # of a JPEG: where the rest of a long packet lies, which is not read here
PNG_KEY = 'XML:com.adobe.xmp'
JPEG_KEPT = 65502        # bytes of a packet in one segment
TAG = re.compile(rb'<[^\s>/]+(?:\s+[^\s=]+\s*=\s*(?:"[^"]*"|\'[^\']*\'))*\s*/?>')
EMPTY = ('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
         f'<rdf:RDF xmlns:rdf="{RDF}"></rdf:RDF></x:xmpmeta><?xpacket end="w"?>').encode()


def xmp_of(picture: Image.Image) -> bytes | None:
    """The XMP packet of an open picture, as Pillow found it; None where there is none."""
    found = picture.info.get('xmp') or picture.info.get(PNG_KEY)
    return found.encode() if isinstance(found, str) else found or None


def source_type(xmp: bytes) -> str | None:
    """The digital source type that a packet states. ValueError where it cannot be read."""
    stated = _read(_as_utf8(xmp)).stated
    return stated[-1] if stated else None


def marked(xmp: bytes | None) -> bytes:
    """A packet (None: an empty one) with the digital source type COMPOSITE in the place of any other; all else keeps its bytes.

    Raises:
        ValueError: no XML, XML with a document type, or no RDF in it.
    """
    packet = _as_utf8(xmp) if xmp is not None else EMPTY
    found = _read(packet)
    if found.stated == [COMPOSITE]:
        return packet
    mark = (f'<rdf:Description xmlns:rdf="{RDF}" rdf:about={quoteattr(found.about)} xmlns:Iptc4xmpExt="{EXTENSION}" '
            f'Iptc4xmpExt:{PROPERTY}="{COMPOSITE}"/>').encode()
    packet = packet[:found.end] + mark + packet[found.end:]
    for start, stop in sorted(found.spans, reverse=True):        # all of them before `end`
        packet = packet[:start] + packet[stop:]
    if _read(packet).stated != [COMPOSITE]:
        raise ValueError('a digital source type that cannot be replaced')
    return packet


class _Found(NamedTuple):
    """Where things stand in a packet, in bytes."""

    end: int                                # of the RDF, before its closing tag
    about: str                              # what its descriptions are about; all must say the same
    stated: list[str]                       # digital source types
    spans: list[tuple[int, int]]            # of what states the digital source type, and of the note that says where the rest lies


def _as_utf8(xmp: bytes) -> bytes:
    """XMP may be UTF-16; PNG wants UTF-8."""
    try:
        for mark, name in ((b'\xff\xfe', 'utf-16'), (b'\xfe\xff', 'utf-16')):
            if xmp.startswith(mark):
                return xmp.decode(name).encode()
        return xmp.decode('utf-8').rstrip('\0 ').encode()
    except UnicodeDecodeError as error:
        raise ValueError(f'no UTF-8 ({error.reason})') from error


def _read(packet: bytes) -> _Found:
    """Where expat finds things. ValueError as of `marked`."""
    parser = expat.ParserCreate('UTF-8', namespace_separator=' ')
    parser.namespace_prefixes = parser.ordered_attributes = True
    path, spans, ends = list[str](), list[tuple[int, int]](), list[int]()
    abouts, stated = list[str](), list[str]()
    opened: int | None = None                                    # where an element that states the type begins

    def start(name: str, attributes: list[str]) -> None:
        nonlocal opened
        index, (uri, local, _) = parser.CurrentByteIndex, _parts(name)
        if path[-2:] == [f'{RDF} RDF', f'{RDF} Description'] and (uri, local) == (EXTENSION, PROPERTY):
            opened = index
            stated.append(''.join(value for key, value in zip(attributes[::2], attributes[1::2], strict=True)
                                  if _parts(key)[:2] == (RDF, 'resource')))
        if path[-1:] == [f'{RDF} RDF'] and (uri, local) == (RDF, 'Description'):
            for key, value in zip(attributes[::2], attributes[1::2], strict=True):
                of, what, prefix = _parts(key)
                if what == 'about':
                    abouts.append(value)
                if (of, what) == (EXTENSION, PROPERTY):
                    stated.append(value)
                if (of, what) in ((EXTENSION, PROPERTY), (LONG, 'HasExtendedXMP')):
                    written = re.search(rb'\s+' + re.escape(f'{prefix}:{what}'.encode()) + rb'\s*=\s*(?:"[^"]*"|\'[^\']*\')',
                                        _tag_at(packet, index))
                    assert written is not None                   # expat has just read it there
                    spans.append((index + written.start(), index + written.end()))
        if (uri, local) == (RDF, 'RDF') and _tag_at(packet, index).endswith(b'/>'):
            raise ValueError('an empty RDF')
        path.append(f'{uri} {local}')

    def text(data: str) -> None:
        if opened is not None:
            stated[-1] += data

    def end(name: str) -> None:
        nonlocal opened
        path.pop()
        index, (uri, local, _) = parser.CurrentByteIndex, _parts(name)
        if opened is not None and (uri, local) == (EXTENSION, PROPERTY):
            tag = _tag_at(packet, opened)
            spans.append((opened, opened + len(tag) if tag.endswith(b'/>') else packet.index(b'>', index) + 1))
            opened = None
        if (uri, local) == (RDF, 'RDF') and f'{RDF} RDF' not in path:
            ends.append(index)

    def refuse(*_: object) -> None:                              # entities that grow without end are declared in one
        raise ValueError('a document type, which XMP has none of')

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    try:
        parser.Parse(packet, True)
    except expat.ExpatError as error:
        raise ValueError(f'no XML ({error})') from error
    if len(ends) != 1:
        raise ValueError(f'{len(ends)} RDF parts')
    return _Found(ends[0], abouts[0] if abouts else '', [value.strip() for value in stated], spans)


def _parts(name: str) -> tuple[str, str, str]:
    """What expat says of a name -> namespace, name and prefix."""
    uri, local, prefix = (*name.split(' '), '', '')[:3]          # a default namespace has no prefix
    return (uri, local, prefix) if local else ('', uri, '')


def _tag_at(packet: bytes, index: int) -> bytes:
    match = TAG.match(packet, index)
    if match is None:
        raise ValueError('a tag that cannot be read')
    return match.group()
