"""Downloads from a server on 127.0.0.1 in PhysioNet's layout, with faults."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from ssl_ecg.data.corpora import open_corpus
from ssl_ecg.data.download import download
from ssl_ecg.data.fetch import Fetcher
from ssl_ecg.errors import CorpusError, DownloadError

PREFIX = "/files/mitdb/1.0.0/"


class Server(ThreadingHTTPServer):
    """Serves a dictionary of files and plays the faults that a test asks for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.ranges = True
        self.fault: Callable[[str, int], tuple[str, int] | None] = lambda name, attempt: None
        self.asked: Counter[str] = Counter()
        self.requests: list[tuple[str, str]] = []
        self.sent = 0
        self.busy = 0
        self.busiest = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{PREFIX}"

    def publish(self, files: dict[str, bytes]) -> None:
        sums = "".join(f"{hashlib.sha256(data).hexdigest()} {name}\n" for name, data in files.items())
        self.files = {**files, "SHA256SUMS.txt": sums.encode()}


class Handler(BaseHTTPRequestHandler):
    """Answers GET with Range, as PhysioNet's server does."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args: Any) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            super().handle()

    def do_GET(self) -> None:
        server = self.server
        name = unquote(self.path).removeprefix(PREFIX)
        wanted = self.headers.get("Range", "")
        with server.lock:
            server.asked[name] += 1
            attempt = server.asked[name]
            server.requests.append((name, wanted))
            server.busy += 1
            server.busiest = max(server.busy, server.busiest)
        try:
            self.answer(name, wanted, server.fault(name, attempt))
        finally:
            with server.lock:
                server.busy -= 1

    def answer(self, name: str, wanted: str, fault: tuple[str, int] | None) -> None:
        kind, value = fault or ("", 0)
        data = self.server.files.get(name)
        if kind == "status" or data is None:
            self.send_response(value or 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(match[1]) if self.server.ranges and (match := re.match(r"bytes=(\d+)-", wanted)) else 0
        if start >= len(data) > 0:
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = data[start:]
        if kind == "damage":
            body = bytes(255 - byte for byte in body)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind == "cut":
            body = body[:value]
        if kind == "slow":
            for k in range(0, len(body), 1000):
                self.wfile.write(body[k : k + 1000])
                time.sleep(value / 1000)
        else:
            self.wfile.write(body)
        self.server.sent += len(body)
        if kind == "cut":
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def published(server: Server) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    files = {f"part{k}/{k:03d}.dat": rng.bytes(30_000 + k) for k in range(12)}
    files |= {"RECORDS": b"000\n001\n", "empty.txt": b"", "a name+%.txt": b"blank"}
    server.publish(files)
    return files


def fetch(server: Server, out: Path, **options: Any) -> Path:
    settings = {"base_url": server.url, "progress": False, "pause": 0.01, "timeout": 5.0} | options
    return download("mitdb", out, **settings)


def fetched(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS.txt"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_all_files_arrive_whole(server: Server, published: dict[str, bytes], tmp_path: Path) -> None:
    assert fetch(server, tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert fetched(tmp_path / "a" / "b") == published


def test_second_run_fetches_nothing(server: Server, published: dict[str, bytes], tmp_path: Path) -> None:
    fetch(server, tmp_path)
    server.asked.clear()
    fetch(server, tmp_path)
    assert set(server.asked) == {"SHA256SUMS.txt"}


def test_changed_file_is_fetched_again(server: Server, published: dict[str, bytes], tmp_path: Path) -> None:
    fetch(server, tmp_path)
    (tmp_path / "RECORDS").write_bytes(b"000\n00")
    server.asked.clear()
    fetch(server, tmp_path)
    assert set(server.asked) == {"SHA256SUMS.txt", "RECORDS"}
    assert fetched(tmp_path) == published


def test_workers_fetch_in_parallel(server: Server, published: dict[str, bytes], tmp_path: Path) -> None:
    server.fault = lambda name, attempt: ("slow", 2)
    fetch(server, tmp_path, workers=6)
    assert 2 <= server.busiest <= 6
    assert fetched(tmp_path) == published


def test_patterns_choose_files(server: Server, published: dict[str, bytes], tmp_path: Path) -> None:
    fetch(server, tmp_path, files=["part3/*", "RECORDS"])
    assert set(fetched(tmp_path)) == {"part3/003.dat", "RECORDS"}
    with pytest.raises(DownloadError, match="no file matches"):
        fetch(server, tmp_path, files=["records100/*"])


def test_cut_connections_resume_where_they_stopped(server: Server, published: dict[str, bytes], tmp_path: Path) -> None:
    server.fault = lambda name, attempt: ("cut", 9000) if name.startswith("part") and attempt <= 2 else None
    fetch(server, tmp_path, retries=1)
    assert fetched(tmp_path) == published
    assert [wanted for name, wanted in server.requests if name == "part5/005.dat"] == [
        "",
        "bytes=8192-",
        "bytes=16384-",
    ]


def test_resume_after_an_earlier_run(server: Server, published: dict[str, bytes], tmp_path: Path) -> None:
    name = "part7/007.dat"
    part = tmp_path / f"{name}.part"
    part.parent.mkdir()
    part.write_bytes(published[name][:1234])
    fetch(server, tmp_path, files=[name])
    assert (name, "bytes=1234-") in server.requests
    assert fetched(tmp_path) == {name: published[name]}


@pytest.mark.parametrize("extra", [b"", b"more than there is"])
def test_part_that_is_whole_or_too_long(
    server: Server, published: dict[str, bytes], tmp_path: Path, extra: bytes
) -> None:
    name = "part7/007.dat"
    part = tmp_path / f"{name}.part"
    part.parent.mkdir()
    part.write_bytes(published[name] + extra)
    fetch(server, tmp_path, files=[name])
    assert fetched(tmp_path) == {name: published[name]}


def test_server_without_ranges_starts_over(server: Server, published: dict[str, bytes], tmp_path: Path) -> None:
    server.ranges = False
    server.fault = lambda name, attempt: ("cut", 9000) if name.startswith("part") and attempt <= 2 else None
    fetch(server, tmp_path)
    assert fetched(tmp_path) == published


def test_connection_that_is_always_cut_ends_with_a_remedy(
    server: Server, published: dict[str, bytes], tmp_path: Path
) -> None:
    server.fault = lambda name, attempt: ("cut", 0) if name == "part2/002.dat" else None
    with pytest.raises(DownloadError, match=r"part2/002\.dat: 3 attempts failed.*same command again"):
        fetch(server, tmp_path, retries=2, workers=1)
    assert not (tmp_path / "part2" / "002.dat").exists()
    server.fault = lambda name, attempt: None
    fetch(server, tmp_path)
    assert fetched(tmp_path) == published


def test_busy_server_is_asked_again(server: Server, published: dict[str, bytes], tmp_path: Path) -> None:
    server.fault = lambda name, attempt: ("status", (503, 429, 500)[attempt - 1]) if attempt <= 3 else None
    fetch(server, tmp_path)
    assert fetched(tmp_path) == published


def test_damage_is_repaired_once(server: Server, published: dict[str, bytes], tmp_path: Path) -> None:
    server.fault = lambda name, attempt: ("damage", 0) if name == "part2/002.dat" and attempt == 1 else None
    fetch(server, tmp_path)
    assert server.asked["part2/002.dat"] == 2
    assert fetched(tmp_path) == published


def test_lasting_damage_leaves_no_file_and_spares_the_others(
    server: Server, published: dict[str, bytes], tmp_path: Path
) -> None:
    server.fault = lambda name, attempt: ("damage", 0) if name == "part2/002.dat" else None
    with pytest.raises(DownloadError, match=r"part2/002\.dat: does not have the sha256 checksum"):
        fetch(server, tmp_path)
    assert server.asked["part2/002.dat"] == 2
    assert fetched(tmp_path) == {name: data for name, data in published.items() if name != "part2/002.dat"}


def test_missing_file_is_named_and_the_others_arrive(
    server: Server, published: dict[str, bytes], tmp_path: Path
) -> None:
    for name in ("part2/002.dat", "part3/003.dat"):
        del server.files[name]
    with pytest.raises(DownloadError, match=r"part\d/00\d\.dat: not found \(404\); 1 more files failed"):
        fetch(server, tmp_path)
    assert set(fetched(tmp_path)) == set(published) - {"part2/002.dat", "part3/003.dat"}


def test_address_without_a_corpus(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"SHA256SUMS\.txt: not found \(404\).*base_url"):
        fetch(server, tmp_path)
    with pytest.raises(DownloadError, match="give an http or https address"):
        fetch(server, tmp_path, base_url="physionet.org/files")


def test_refused_access_says_where_credentials_go(server: Server, published: dict[str, bytes], tmp_path: Path) -> None:
    server.fault = lambda name, attempt: ("status", 403)
    with pytest.raises(DownloadError, match=r"403.*\.netrc"):
        fetch(server, tmp_path)


def test_nobody_answers(tmp_path: Path) -> None:
    with Server() as server:
        url = server.url
    with pytest.raises(DownloadError, match="2 attempts failed"):
        download("mitdb", tmp_path, base_url=url, progress=False, retries=1, pause=0.01, timeout=1.0)


def test_truncated_list_of_checksums_is_not_used(server: Server, published: dict[str, bytes], tmp_path: Path) -> None:
    server.fault = lambda name, attempt: ("cut", 70) if name == "SHA256SUMS.txt" and attempt == 1 else None
    fetch(server, tmp_path)
    assert fetched(tmp_path) == published


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:\\evil", "a//b", "."])
def test_names_that_lead_out_of_the_folder_are_refused(server: Server, tmp_path: Path, name: str) -> None:
    server.publish({name: b"x"})
    with pytest.raises(DownloadError, match="lists the file"):
        fetch(server, tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["SHA256SUMS.txt"]


def test_list_that_is_none(server: Server, tmp_path: Path) -> None:
    server.files["SHA256SUMS.txt"] = b"<html>please log in</html>"
    with pytest.raises(DownloadError, match="line 1 is no checksum"):
        fetch(server, tmp_path)


def test_full_disk(
    server: Server, published: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Path.open

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def full(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        return Full() if self.name == "002.dat.part" and "r" not in mode else original(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DownloadError, match=r"002\.dat\.part: cannot be written: No space.*make room"):
        fetch(server, tmp_path)
    monkeypatch.undo()
    fetch(server, tmp_path)
    assert fetched(tmp_path) == published


def test_folder_that_cannot_be_made(server: Server, published: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="cannot be written"):
        fetch(server, tmp_path / "file" / "out")


def test_ctrl_c_leaves_parts_and_the_next_run_goes_on(
    server: Server, published: dict[str, bytes], tmp_path: Path
) -> None:
    server.publish({**published, "big.dat": bytes(400_000)})
    server.fault = lambda name, attempt: ("slow", 20) if name == "big.dat" else None
    code = (
        "from ssl_ecg.data.download import download\n"
        f"download('mitdb', {str(tmp_path)!r}, base_url={server.url!r}, progress=False, timeout=5.0)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    part = tmp_path / "big.dat.part"
    for _ in range(1000):
        if part.exists() and part.stat().st_size > 0:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert not (tmp_path / "big.dat").exists()
    have = part.stat().st_size
    assert 0 < have < 400_000
    server.fault = lambda name, attempt: None
    fetch(server, tmp_path)
    assert ("big.dat", f"bytes={have}-") in server.requests
    assert (tmp_path / "big.dat").read_bytes() == bytes(400_000)
    assert not list(tmp_path.rglob("*.part"))


def test_stop_ends_waiting(server: Server, tmp_path: Path) -> None:
    from concurrent.futures import CancelledError

    from ssl_ecg.data.listing import Remote

    server.fault = lambda name, attempt: ("status", 503)
    fetcher = Fetcher(pause=60.0, timeout=5.0)
    threading.Timer(0.2, fetcher.stop.set).start()
    with pytest.raises(CancelledError):
        fetcher.fetch(Remote("x", server.url + "x"), tmp_path / "x")


def test_names_without_a_server(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="choose from ptbxl"):
        download("folder", tmp_path)
    with pytest.raises(CorpusError, match="did you mean 'mitdb'"):
        download("mitbd", tmp_path)


def test_progress_counts_files(
    server: Server, published: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch(server, tmp_path, progress=True)
    assert f"{len(published)}/{len(published)}" in capsys.readouterr().err


def test_zenodo_parts_are_checked_and_unpacked(server: Server, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("exams_part0.hdf5", b"\x89HDF\r\n\x1a\n" + bytes(5000))
        members.writestr("../../outside.txt", b"stays inside")
    server.files = {"exams.csv": b"exam_id,age\n", "exams_part0.zip": packed.getvalue()}
    described = [
        {
            "key": name,
            "checksum": f"md5:{hashlib.md5(data).hexdigest()}",
            "links": {"self": server.url + name},
        }
        for name, data in server.files.items()
    ]
    server.files["record"] = json.dumps({"files": described}).encode()
    options: dict[str, Any] = {"base_url": server.url + "record", "progress": False, "pause": 0.01}
    out = tmp_path / "deep" / "code15"
    download("code15", out, **options)
    names = {"zenodo.json", "exams.csv", "exams_part0.hdf5", "outside.txt"}
    assert {path.name for path in out.iterdir()} == names
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    server.asked.clear()
    download("code15", out, **options)
    assert server.asked["exams_part0.zip"] == 0
    (out / "exams_part0.hdf5").unlink()
    server.files["exams_part0.zip"] = b"not what was published"
    with pytest.raises(DownloadError, match="md5 checksum"):
        download("code15", out, **options)
    assert not (out / "exams_part0.zip").exists()
    server.files["record"] = b"[]"
    with pytest.raises(DownloadError, match="lists no files"):
        download("code15", out, **options)


@pytest.mark.real
def test_real_records_through_the_server(server: Server, real_data: Path, tmp_path: Path) -> None:
    names = ["ptbxl_database.csv", *(f"records100/00000/0000{k}_lr" for k in range(1, 6))]
    files = {}
    for name in names:
        for suffix in ("",) if name.endswith(".csv") else (".hea", ".dat"):
            files[name + suffix] = (real_data / "ptbxl" / (name + suffix)).read_bytes()
    server.publish(files)
    server.fault = lambda name, attempt: ("cut", 9000) if attempt == 1 and name.endswith(".dat") else None
    options: dict[str, Any] = {"base_url": server.url, "progress": False, "pause": 0.01}
    download("ptbxl", tmp_path, **options)
    assert fetched(tmp_path) == files
    corpus, source = open_corpus(tmp_path), open_corpus(real_data / "ptbxl")
    for k, entry in zip(range(5), corpus.entries(), strict=False):
        record = corpus.read(entry)
        assert record.record_id == str(k + 1)
        np.testing.assert_array_equal(record.signal, source.read(entry).signal)
