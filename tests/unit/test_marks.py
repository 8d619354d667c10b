"""What photo tools read in an edited picture, and what stays of the XMP that it had."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from retouch.editor.edit import RE_ENCODED
from retouch.editor.marks import COMPOSITE, EMPTY, JPEG_KEPT, marked, source_type, xmp_of
from tests.unit.test_editor import editor, noise

URI = 'http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia'
CAPTURE = 'http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture'
HEAD = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
SPACES = 'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
CREATOR = '<dc:creator><r:Seq><r:li>Anna é &amp; Ö</r:li></r:Seq></dc:creator>'
TAIL = '</r:RDF></x:xmpmeta>'


def packet(description: str) -> bytes:
    return f'{HEAD}{description}{TAIL}'.encode()


def test_a_picture_without_xmp_gets_a_packet_of_the_mark_alone() -> None:
    found = marked(None)
    assert URI == COMPOSITE and source_type(found) == URI and source_type(EMPTY) is None
    assert found.startswith('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'.encode()) and found.endswith(b'<?xpacket end="w"?>')
    assert marked(found) == found                                # an edit of an edit


@pytest.mark.parametrize(('before', 'kept'), [
    (f'<r:Description r:about="uuid:1" {SPACES}>{CREATOR}</r:Description>', None),
    (f'<r:Description r:about="uuid:1" {SPACES} e:DigitalSourceType="{CAPTURE}" dc:format="a>b">{CREATOR}</r:Description>',
     f'<r:Description r:about="uuid:1" {SPACES} dc:format="a>b">{CREATOR}</r:Description>'),
    (f'<r:Description r:about="uuid:1" {SPACES}><e:DigitalSourceType>{CAPTURE}</e:DigitalSourceType>{CREATOR}</r:Description>',
     f'<r:Description r:about="uuid:1" {SPACES}>{CREATOR}</r:Description>'),
    (f"<r:Description r:about='uuid:1' {SPACES}>{CREATOR}<e:DigitalSourceType r:resource='{CAPTURE}'/></r:Description>",
     f"<r:Description r:about='uuid:1' {SPACES}>{CREATOR}</r:Description>"),
    # not this picture's: what was put into it says so of itself
    (f'<r:Description r:about="uuid:1" {SPACES}><dc:relation><r:Description e:DigitalSourceType="{CAPTURE}"/></dc:relation>'
     '</r:Description>', None),
    # where a JPEG has the rest of a long packet: it is not carried over
    (f'<r:Description r:about="uuid:1" {SPACES} xmlns:n="http://ns.adobe.com/xmp/note/" n:HasExtendedXMP="AB">{CREATOR}</r:Description>',
     f'<r:Description r:about="uuid:1" {SPACES} xmlns:n="http://ns.adobe.com/xmp/note/">{CREATOR}</r:Description>'),
])
def test_all_that_the_user_had_stays_to_the_byte(before: str, kept: str | None) -> None:
    found = marked(packet(before)).decode()
    assert found.startswith(HEAD + (kept or before)) and found.endswith(TAIL)
    own = found.removeprefix(HEAD + (kept or before)).removesuffix(TAIL)
    assert own.startswith('<rdf:Description ') and own.count(URI) == 1 and 'rdf:about="uuid:1"' in own and CAPTURE not in own
    assert source_type(found.encode()) == URI and marked(found.encode()).decode() == found


def test_utf_16_becomes_utf_8() -> None:
    before = packet(f'<r:Description r:about="" {SPACES}>{CREATOR}</r:Description>')
    assert marked(b'\xff\xfe' + before.decode().encode('utf-16-le')) == marked(before)


@pytest.mark.parametrize('bad', [b'<a', b'<a/>', b'\xff\xfa', b'', HEAD.encode(), (HEAD[:-1] + '/></x:xmpmeta>').encode(),
                                 b'<!DOCTYPE a [<!ENTITY b "c">]>' + packet(''), packet('') + packet('')])
def test_what_cannot_be_read_is_left_out_and_said(bad: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        marked(bad)
    if bad:
        Image.fromarray(noise(20, 20)).save(tmp_path / 'a.jpg', xmp=bad)
        edit = editor().edit(tmp_path / 'a.jpg', Eyeglasses=1)
        assert edit.xmp is None and sum('XMP of the picture cannot be read' in note for note in edit.notes) == 1


@pytest.mark.parametrize('kind', ['png', 'jpg', 'webp'])
def test_the_mark_is_in_every_format_and_the_users_xmp_with_it(kind: str, tmp_path: Path) -> None:
    own = packet(f'<r:Description r:about="" {SPACES} e:DigitalSourceType="{CAPTURE}">{CREATOR}</r:Description>')
    info = PngInfo()
    info.add_itxt('XML:com.adobe.xmp', own.decode())
    Image.fromarray(noise(37, 61)).save(tmp_path / f'in.{kind}', **({'pnginfo': info} if kind == 'png' else {'xmp': own}))
    edit = editor().edit(tmp_path / f'in.{kind}', Eyeglasses=1)
    assert edit.xmp == own and any('says what it is: digitalCapture' in note for note in edit.notes)
    path, *beside = edit.save(tmp_path / 'out', 'face', format=kind)                   # type: ignore[arg-type]
    assert path.name == f'face.{kind}' and [p.name for p in beside] == ['face.mask.png', 'face.diff.png']
    with Image.open(path) as saved:
        found = xmp_of(saved)
        assert found == marked(own) and b'Anna' in found and source_type(found) == URI
        assert saved.size == (61, 37)
        if kind == 'png':
            assert np.array_equal(np.asarray(saved), np.asarray(edit.image)) and 'Edited with AI' in saved.text['Comment']   # type: ignore
        else:
            exif = saved.getexif()
            assert 'Edited with AI' in exif[ExifTags.Base.ImageDescription] and 'Retouch' in exif[ExifTags.Base.Software]
            record = json.loads(exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment][8:])
            assert RE_ENCODED == 'identical in the decoded input, re-encoded'
            assert record['set'] == {'Eyeglasses': 1} and record['outside_the_mask'] == RE_ENCODED
    (bare,) = edit.save(tmp_path / 'bare', 'face', note=False, format=kind, alone=True)      # type: ignore[arg-type]
    with Image.open(bare) as saved:
        assert xmp_of(saved) is None and not saved.getexif() and getattr(saved, 'text', {}) == {}
    assert [p.name for p in (tmp_path / 'bare').iterdir()] == [f'face.{kind}']


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    clear = editor().edit(Image.new('RGBA', (20, 20), (1, 2, 3, 4)), Eyeglasses=1)
    with pytest.raises(ValueError, match='transparency, which a JPEG cannot hold: use --format png or webp'):
        clear.save(tmp_path, 'a', format='jpg')
    with Image.open(clear.save(tmp_path, 'a', format='webp')[0]) as saved:
        assert saved.mode == 'RGBA' and saved.getpixel((0, 0))[3] == 4                 # type: ignore[index]
    wide = editor().edit(np.zeros((1, 16384, 3), np.uint8), Eyeglasses=1)
    with pytest.raises(ValueError, match='a WEBP has at most 16383 px a side'):
        wide.encode('webp')
    with pytest.raises(ValueError, match='quality=0'):
        clear.encode('webp', 0)
    long = packet(f'<r:Description r:about="" {SPACES}><dc:title>{"x" * JPEG_KEPT}</dc:title></r:Description>')
    Image.fromarray(noise(20, 20)).save(tmp_path / 'long.webp', xmp=long)
    edit = editor().edit(tmp_path / 'long.webp', Eyeglasses=1)
    with pytest.raises(ValueError, match='a JPEG holds 65502'):
        edit.encode('jpg')
    assert len(edit.encode('webp')) > JPEG_KEPT and len(edit.encode('jpg', note=False)) < JPEG_KEPT
    assert len(edit.encode('jpg', 20, note=False)) < len(edit.encode('jpg', 95, note=False))
