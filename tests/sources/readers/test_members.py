"""Archives are read as streams: what could do harm is refused, and nothing is ever written."""

import gzip
import io
import os
import stat
import tarfile
import zipfile

import pytest

from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.readers import opening
from bert_mpq.sources.readers.members import members
from bert_mpq.sources.reviews import find_reviews

FILES = {
    f"data/{label}/{number}.txt": f"{label} {number}".encode()
    for label in ("neg", "pos")
    for number in range(9)
}


def tar(path, entries=(), mode="w"):
    """Write the files and more entries."""
    with tarfile.open(path, mode) as archive:
        for name, content in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for entry in entries:
            archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    return path


def entry(name, kind=tarfile.REGTYPE, target="", size=0):
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, target, size
    return made


def zipped(path, entries=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
        for info, content in entries:
            archive.writestr(info, content)
    return path


def refusal(path):
    with pytest.raises(MpqError) as refused:
        find_reviews(str(path))
    assert refused.value.code == "E-DATA-FORMAT"
    return refused.value.title


@pytest.mark.parametrize(
    ("bad", "title"),
    [
        (
            entry("data/pos/10.txt", tarfile.SYMTYPE, "/etc/passwd"),
            "holds a link or a device: data/pos/10.txt.",
        ),
        (
            entry("data/pos/10.txt", tarfile.LNKTYPE, "data/pos/1.txt"),
            "holds a link or a device: data/pos/10.txt.",
        ),
        (entry("data/pos/10.txt", tarfile.FIFOTYPE), "holds a link or a device: data/pos/10.txt."),
        (entry("data/pos/10.txt", tarfile.CHRTYPE), "holds a link or a device: data/pos/10.txt."),
        (entry("../pos/10.txt"), "holds a name outside of itself: ../pos/10.txt."),
        (entry("data/../../pos/10.txt"), "holds a name outside of itself: data/../../pos/10.txt."),
        (entry("/pos/10.txt"), "holds a name outside of itself: /pos/10.txt."),
        (entry("..\\pos\\10.txt"), "holds a name outside of itself: ..\\pos\\10.txt."),
        (entry("C:\\pos\\10.txt"), "holds a name outside of itself: C:\\pos\\10.txt."),
    ],
)
@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_an_archive_with_something_dangerous_is_refused(tmp_path, bad, title, suffix):
    path = tar(tmp_path / f"a.{suffix}", [bad], "w:gz" if suffix == "tar.gz" else "w")
    assert refusal(path) == f"a.{suffix} {title}"
    assert sorted(os.listdir(tmp_path)) == [f"a.{suffix}"]


def test_a_link_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("data/pos/10.txt")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert (
        refusal(zipped(tmp_path / "a.zip", [(info, "/etc/passwd")]))
        == "a.zip holds a link or a device: data/pos/10.txt."
    )
    assert refusal(zipped(tmp_path / "b.zip", [("../pos/1.txt", "x")])).startswith(
        "b.zip holds a name outside of itself"
    )


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip", "csv.gz", "jsonl.xz"])
def test_more_than_the_limit_is_refused_before_it_is_read(tmp_path, kind, monkeypatch):
    for module in (opening, __import__("bert_mpq.sources.readers.members", fromlist=["LARGEST"])):
        monkeypatch.setattr(module, "LARGEST", 100_000)
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        zipped(path, [("data/pos/10.txt", bytes(200_000))])
    elif kind.startswith("tar"):
        tar(path, [entry("data/pos/10.txt", size=200_000)], "w:gz" if kind == "tar.gz" else "w")
    else:
        import lzma

        pack = gzip.compress if kind == "csv.gz" else lzma.compress
        path.write_bytes(pack(b'{"text": "a", "label": 1}\n' + b" " * 200_000 + b"\n"))
    assert refusal(path) == f"a.{kind} holds more than 0 GB unpacked."


def test_the_limit_is_4_gb():
    assert opening.LARGEST == 4 * 2**30


def test_a_header_that_claims_a_long_name_is_refused(tmp_path):
    """tarfile would read the name at once, whatever its length."""
    path = tmp_path / "a.tar"
    header = entry("x", tarfile.GNUTYPE_LONGNAME, size=1 << 40).tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(header + bytes(4_096))
    assert refusal(path) == "a.tar cannot be unpacked: it is damaged or cut off."


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_no_part_of_a_damaged_archive_is_taken_for_the_whole(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "zip":
        zipped(path)
    else:
        tar(path, mode={"tar": "w"}.get(suffix, f"w:{suffix[4:]}"))
    whole = path.read_bytes()
    length = max(tarfile.RECORDSIZE, 1) if suffix == "tar" else len(whole)
    for at in range(0, len(FILES) * 1_024 if suffix == "tar" else length, 97):
        path.write_bytes(whole[:at])
        title = refusal(path)
        assert title.startswith(f"a.{suffix} "), title


def test_a_flipped_bit_in_a_compressed_archive_is_noticed(tmp_path):
    path = tar(tmp_path / "a.tar.gz", mode="w:gz")
    whole = path.read_bytes()
    for at in range(30, len(whole), 41):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(MpqError, match=r"^a\.tar\.gz cannot be unpacked: it is damaged or cut off\.$"):
            list(members(path))


def test_a_bad_header_in_the_middle_is_no_end(tmp_path):
    path = tar(tmp_path / "a.tar")
    content = bytearray(path.read_bytes())
    content[5 * 1_024 + 3] ^= 0xFF  # the name in the header of the sixth file
    path.write_bytes(content)
    assert refusal(path) == "a.tar cannot be unpacked: it is damaged or cut off."


def test_an_encrypted_zip_is_refused(tmp_path):
    path = zipped(tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    for signature, flag in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = -1
        while (at := content.find(signature, at + 1)) >= 0:
            content[at + flag] |= 1
    path.write_bytes(content)
    assert refusal(path) == "a.zip is encrypted, or compressed in a way that is not read."


def test_a_zip_of_several_tables_asks_to_be_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("train.csv", "text,label\na,0\n")
        archive.writestr("test.csv", "text,label\na,0\n")
    with pytest.raises(MpqError) as refused:
        find_reviews(str(tmp_path / "a.zip"))
    assert refused.value.title == "a.zip holds no text files in folders named after their labels."
    assert refused.value.hint == "Unpack it, and give what is in it."


def test_hidden_files_and_those_of_another_system_are_left_out(tmp_path):
    info = ["__MACOSX/data/pos/._1.txt", "data/pos/._1.txt", "data/.git/pos/1.txt"]
    path = zipped(tmp_path / "a.zip", [(name, "\xff") for name in info])
    assert len(list(members(path))) == len(FILES)


def test_links_to_files_are_followed_in_a_folder(tmp_path):
    """As in the cache of the hub, whose snapshots are links."""
    (tmp_path / "blobs").mkdir()
    for name, content in FILES.items():
        blob = tmp_path / "blobs" / name.replace("/", "_")
        blob.write_bytes(content)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(blob)
    assert find_reviews(str(tmp_path / "data")).reading.rows == len(FILES)
