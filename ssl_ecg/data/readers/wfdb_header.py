"""Read WFDB header files (.hea), the clean ones and those of the CinC challenges.

The grammar is that of header(5); it is strict where a wrong reading would give wrong millivolts and
lenient where published headers are known to be untidy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from ssl_ecg.errors import RecordError

DEFAULT_FS = 250.0
DEFAULT_GAIN = 200.0

_INT32 = 2**31
_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_FORMAT = re.compile(r"([0-9]+)(?:x([0-9]+))?(?::([0-9]+))?(?:\+([0-9]+))?")
_GAIN = re.compile(rf"({_NUMBER})(?:\((-?[0-9]+)\))?(?:/(\S*))?")
_LATER_FIELDS = re.compile(
    rf"(?:({_NUMBER}(?:\(-?[0-9]+\))?(?:/\S*)?)(?:\s+|$))?"  # gain(baseline)/units
    r"(?:([0-9]+)(?:\s+|$))?(?:(-?[0-9]+)(?:\s+|$))?"  # ADC resolution, ADC zero
    r"(?:(-?[0-9]+)(?:\s+|$))?(?:(-?[0-9]+)(?:\s+|$))?(?:([0-9]+)(?:\s+|$))?"  # first value, checksum, block
    r"(.*)"
)


class SignalSpec(NamedTuple):
    """One signal line: how a lead is stored and what its numbers mean."""

    file: str
    format: str
    samples_per_frame: int
    skew: int
    offset: int
    """Bytes before the first sample."""
    gain: float
    """[adu per physical unit]"""
    baseline: int
    """[adu] of physical zero."""
    units: str
    adc_res: int
    adc_zero: int
    init_value: int
    checksum: int | None
    lead: str


@dataclass(frozen=True, slots=True)
class Header:
    """A header file.

    Attributes
    ----------
    record_name : str
        Without ".mat" or ".hea", which some published headers append.
    n_sig : int
        Number of leads.
    fs : float
        Frames per second [Hz].
    n_samples : int
        Frames; 0 where the header does not say.
    segments : tuple of (name, n_samples)
        Empty for a record of one segment.
    signals : tuple of SignalSpec
        Empty for a record of several segments.
    comments : tuple of str
        Without the leading "#".
    """

    record_name: str
    n_sig: int
    fs: float
    n_samples: int
    segments: tuple[tuple[str, int], ...]
    signals: tuple[SignalSpec, ...]
    comments: tuple[str, ...]


def parse_header(content: str | bytes, where: str) -> Header:
    r"""Parse the content of a header file.

    Parameters
    ----------
    content : str or bytes
        Bytes are UTF-8 or, failing that, Latin-1.
    where : str
        Name of the record, for messages.

    Raises
    ------
    RecordError
        If the header breaks the grammar or holds impossible numbers.

    References
    ----------
    WFDB Applications Guide, header(5), https://physionet.org/physiotools/wag/header-5.htm

    Examples
    --------
    >>> header = parse_header("100 1 360 650000\n100.dat 212 200 11 1024 995 -22131 0 MLII\n# 69 M", "100")
    >>> header.fs, header.signals[0].baseline, header.signals[0].lead, header.comments
    (360.0, 1024, 'MLII', ('69 M',))
    """
    lines, comments = _split_lines(_decode(content))
    if not lines:
        raise RecordError(where, "the header is empty", "fetch the .hea file again")
    name, n_segments, n_sig, fs, n_samples = _record_line(lines[0], where)
    segments: tuple[tuple[str, int], ...] = ()
    signals: tuple[SignalSpec, ...] = ()
    expected = n_sig if n_segments is None else n_segments
    if len(lines) - 1 != expected:
        what = "signal" if n_segments is None else "segment"
        problem = f"the header announces {expected} {what} lines and has {len(lines) - 1}"
        raise RecordError(where, problem, "fetch the .hea file again")
    if n_segments is None:
        signals = tuple([_signal_line(line, k, where) for k, line in enumerate(lines[1:])])
    else:
        segments = tuple([_segment_line(line, where) for line in lines[1:]])
    return Header(name, n_sig, fs, n_samples, segments, signals, tuple(comments))


def _decode(content: str | bytes) -> str:
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _split_lines(text: str) -> tuple[list[str], list[str]]:
    lines: list[str] = []
    comments: list[str] = []
    for raw in text.replace("\r", "\n").split("\n"):
        line = raw.strip()
        if line.startswith("#"):
            comments.append(line.strip(" \t#"))
        elif line:
            lines.append(line)
    return lines, comments


def _record_line(line: str, where: str) -> tuple[str, int | None, int, float, int]:
    fields = line.split()
    name, slash, n_segments = fields[0].partition("/")
    if name.lower().endswith((".mat", ".hea", ".dat")):
        name = name[:-4]
    if len(fields) < 2:
        raise RecordError(where, f"cannot read the record line {_excerpt(line)}", "is this a WFDB header?")
    n_sig = _count(fields[1], "number of signals", where)
    fs = _frequency(fields[2], where) if len(fields) > 2 else DEFAULT_FS
    n_samples = _count(fields[3], "number of samples", where) if len(fields) > 3 else 0
    return name, _count(n_segments, "number of segments", where) if slash else None, n_sig, fs, n_samples


def _count(token: str, what: str, where: str) -> int:
    if not (token.isascii() and token.isdigit() and len(token) < 19):
        raise RecordError(where, f"the {what} is {_excerpt(token)}", "correct the record line of the header")
    return int(token)


def _frequency(token: str, where: str) -> float:
    text = token.partition("/")[0].partition("(")[0]
    try:
        fs = float(text)
    except ValueError:
        fs = math.nan
    if not (math.isfinite(fs) and fs > 0):
        remedy = "correct the record line of the header"
        raise RecordError(where, f"the sampling rate is {_excerpt(token)}", remedy)
    return fs


def _segment_line(line: str, where: str) -> tuple[str, int]:
    fields = line.split()
    if len(fields) < 2:
        raise RecordError(where, f"cannot read the segment line {_excerpt(line)}", "correct the header")
    return fields[0], _count(fields[1], "length of a segment", where)


def _signal_line(line: str, index: int, where: str) -> SignalSpec:
    fields = line.split(None, 8)
    if len(fields) == 9:  # every field there, as in nearly all published headers
        file, fmt, gain, res, zero, init, checksum, _block, lead = fields
        try:
            stored = _format(fmt) + _meaning(gain, res, zero)
            return SignalSpec(file, *stored, int(init), int(checksum), lead)
        except ValueError:
            pass  # a field is left out and the name has blanks, or the line is wrong
    try:
        return _short_signal_line(line, index)
    except ValueError as error:
        problem = f"cannot read the signal line {_excerpt(line)}" + (f" ({error})" if str(error) else "")
        raise RecordError(where, problem, "correct the line or fetch the .hea file again") from error


def _short_signal_line(line: str, index: int) -> SignalSpec:
    file, fmt, *rest = line.split(None, 2)
    match = _LATER_FIELDS.fullmatch(rest[0] if rest else "")
    if match is None:
        raise ValueError("unexpected characters")
    gain, res, zero, init, checksum, _block, lead = match.groups()
    meaning = _meaning(gain or "", res or "", zero or "")
    first = int(init) if init else meaning[4]
    total = int(checksum) if checksum else None
    return SignalSpec(file, *(_format(fmt) + meaning), first, total, lead or f"signal {index}")


@lru_cache(maxsize=1024)
def _format(token: str) -> tuple[str, int, int, int]:
    """Read ``FORMATxSAMPLES:SKEW+OFFSET``."""
    match = _FORMAT.fullmatch(token)
    if match is None or len(token) > 40:
        raise ValueError(f"storage format {_excerpt(token)}")
    per_frame, skew, offset = (int(text or 0) for text in match.groups()[1:])
    return match[1], per_frame or 1, skew, offset


@lru_cache(maxsize=4096)
def _meaning(token: str, res: str, zero: str) -> tuple[float, int, str, int, int]:
    """Read ``GAIN(BASELINE)/UNITS`` with its defaults: 200 adu/mV, baseline at the ADC zero."""
    adc_res, adc_zero = int(res or 0), int(zero or 0)
    match = _GAIN.fullmatch(token) if token else None
    if token and match is None:
        raise ValueError(f"gain {_excerpt(token)}")
    gain = float(match[1]) if match else 0.0
    gain = DEFAULT_GAIN if gain == 0 else gain
    baseline = int(match[2]) if match and match[2] is not None else adc_zero
    if not 1e-12 <= abs(gain) <= 1e12 or max(abs(baseline), abs(adc_zero)) > _INT32:
        raise ValueError(f"gain {gain:g} or baseline {baseline} is impossible")
    return gain, baseline, (match[3] if match else None) or "mV", adc_res, adc_zero


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


_AGE = re.compile(r"\bage>?\s*[:=]\s*([0-9]+(?:\.[0-9]*)?)", re.IGNORECASE)
_SEX = re.compile(r"\b(?:sex|gender)>?\s*[:=]\s*([a-z]+)", re.IGNORECASE)
_DX = re.compile(r"<?dx>?\s*(?:[:=]|\s)\s*(.*)", re.IGNORECASE)
_MIT_BIH = re.compile(r"(-?[0-9]+|\?)\s+([MF])\b")
_SEXES = {"m": "male", "male": "male", "f": "female", "female": "female"}
_NO_CODE = {"", "unknown", "nan", "none", "null"}
OLDEST = 130.0


def clinical(comments: Iterable[str]) -> tuple[float | None, str | None, tuple[str, ...]]:
    """Take age [years], sex and diagnostic codes from header comments.

    Understands "Age: 69", "Sex: Male", "Dx: 426783006,59118001" with or without blanks (CinC challenges,
    PTB), "<age>: 51" (LUDB, INCART) and "72 F 750 1629 x1" (MIT-BIH). What is unknown, "NaN" or
    impossible (an age above 130 years stands for "over 89" in some archives) is None.

    Examples
    --------
    >>> clinical(["Age: 69", " Sex: Female", "Dx: 426783006,59118001"])
    (69.0, 'female', ('426783006', '59118001'))
    >>> clinical(["72 F 750 1629 x1", "Digoxin"])
    (72.0, 'female', ())
    """
    age: float | None = None
    sex: str | None = None
    codes: list[str] = []
    for number, comment in enumerate(comments):
        if found := _AGE.search(comment):
            age = float(found[1])
        if found := _SEX.search(comment):
            sex = _SEXES.get(found[1].lower())
        if found := _DX.match(comment.strip()):
            listed = map(str.strip, re.split("[,;]", found[1]))
            codes += [code for code in listed if code.lower() not in _NO_CODE]
        if number == 0 and (found := _MIT_BIH.match(comment.strip())):
            age = float(found[1]) if found[1].isdigit() else None
            sex = _SEXES[found[2].lower()]
    return (age if age is not None and age <= OLDEST else None), sex, tuple(codes)
