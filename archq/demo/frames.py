"""A night of made-up FITS frames from two instruments of the MMT, as their data systems would leave them on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    Image = npt.NDArray[np.float32]

MST = timezone(timedelta(hours=-7), "MST")  # Arizona keeps no summer time
NOON = time(12)  # a night runs from noon to noon
DAWN = timedelta(hours=17)  # after noon: no exposure is open later
READOUT = timedelta(seconds=24)  # between the shutter's closing and the file's last byte

BIAS = 1000.0  # counts
READ_NOISE = 4.0  # counts
SATURATION = 65_535  # counts, of a 16-bit converter
TRACE_SPACING = 24  # pixels from one fibre's spectrum to the next, unbinned
SEED = 19_790_509  # any number: the same night has the same pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What was asked of a camera.  Rows and columns are unbinned pixels; positions are J2000."""

    kind: str  # as IMAGETYP has it
    target: str
    start: timedelta  # after noon
    seconds: float
    filter: str
    rows: int
    columns: int
    ra: str = "00:00:00.00"
    dec: str = "+31:41:20.0"  # zenith of the MMT, where the telescope rests
    level: float = 0.0  # counts of sky or lamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """An instrument, and one night's work with it.  ``directory`` may hold the night's date as strftime(3) puts it."""

    name: str
    directory: str
    file_name: str
    detector: str
    light: Callable[[np.random.Generator, int, int, int], Image]
    exposures: tuple[Exposure, ...]


def latest_night(now: datetime) -> date:
    """Return the date on which the last night began whose observations are over."""
    return (now.astimezone(MST) - timedelta(hours=NOON.hour) - DAWN).date()


def write_frames(camera: Camera, root: Path, night: date, *, binning: int = 1) -> list[Path]:
    """Write the camera's frames of ``night`` below ``root`` and return their paths, the earliest first.

    Each has the modification time at which its readout ended.  ``binning`` makes frames smaller by its square.
    """
    directory = root / night.strftime(camera.directory)
    directory.mkdir(parents=True)
    return [
        _write_frame(directory / camera.file_name.format(number), camera, exposure, night, number, binning)
        for number, exposure in enumerate(camera.exposures, start=1)
    ]


def _write_frame(path: Path, camera: Camera, exposure: Exposure, night: date, number: int, binning: int) -> Path:
    random = np.random.default_rng([SEED, night.toordinal(), len(camera.name), number])
    start = datetime.combine(night, NOON, MST).astimezone(UTC) + exposure.start
    hdu = fits.PrimaryHDU(_pixels(camera, exposure, random, binning))
    hdu.header.extend(_cards(camera, exposure, start, binning), end=True)
    hdu.writeto(path, checksum=True)
    finished = start + timedelta(seconds=exposure.seconds) + READOUT
    # The fraction is drawn, so that a copy which loses the last digits of a timestamp is seen.
    nanoseconds = int(finished.timestamp()) * 1_000_000_000 + int(random.integers(1_000_000_000))
    os.utime(path, ns=(nanoseconds, nanoseconds))
    return path


def _pixels(camera: Camera, exposure: Exposure, random: np.random.Generator, binning: int) -> npt.NDArray[np.uint16]:
    rows, columns = exposure.rows // binning, exposure.columns // binning
    noise = np.sqrt(READ_NOISE**2 + exposure.level)  # photons arrive as they like: variance equals the mean
    image = random.standard_normal((rows, columns), dtype=np.float32)
    image *= np.float32(noise)
    image += np.float32(BIAS + exposure.level)
    if exposure.kind in {"object", "comp"}:
        image += camera.light(random, rows, columns, binning)
    return np.clip(image, 0, SATURATION).astype(np.uint16)


def _stars(random: np.random.Generator, rows: int, columns: int, binning: int) -> Image:
    """Return a field of stars: many faint ones, few bright ones, all as wide as the seeing makes them."""
    width, half = 3.0 / binning, max(2, 12 // binning)  # pixels
    offsets = np.arange(-half, half + 1)
    image: Image = np.zeros((rows, columns), dtype=np.float32)
    for row, column, draw in random.random((300, 3)):
        y, x = half + row * (rows - 2 * half - 2), half + column * (columns - 2 * half - 2)
        down, right = (np.exp(-(((offsets + int(at) - at) / width) ** 2) / 2) for at in (y, x))
        bright = 400.0 * min((1.0 - draw) ** -1.2, 150.0)  # counts at the centre
        image[int(y) - half : int(y) + half + 1, int(x) - half : int(x) + half + 1] += bright * np.outer(down, right)
    return image


def _fibres(random: np.random.Generator, rows: int, columns: int, binning: int) -> Image:
    """Return spectra side by side along the rows: a continuum of its own for each fibre, the same lines in all."""
    spacing = max(3, TRACE_SPACING // binning)
    profile = np.exp(-(((np.arange(rows) % spacing - spacing / 2) / (spacing / 6)) ** 2) / 2)
    continuum = np.repeat(random.uniform(100.0, 3000.0, rows // spacing + 1), spacing)[:rows]
    lines = np.zeros(columns)
    lines[random.integers(columns, size=40)] = random.uniform(500.0, 20_000.0, 40)
    spectra: Image = ((profile * continuum)[:, None] + np.outer(profile, lines)).astype(np.float32)
    return spectra


def _cards(camera: Camera, exposure: Exposure, start: datetime, binning: int) -> list[tuple[str, object, str]]:
    return [
        ("DATE-OBS", start.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3], "UTC at the start of the exposure"),
        ("TIMESYS", "UTC", "time system of DATE-OBS"),
        ("EXPTIME", exposure.seconds, "[s] open-shutter time"),
        ("OBJECT", exposure.target, "name of the target"),
        ("IMAGETYP", exposure.kind, "kind of exposure"),
        ("TELESCOP", "MMT", "name of the telescope"),
        ("INSTRUME", camera.name, "name of the instrument"),
        ("DETECTOR", camera.detector, "name of the detector"),
        ("FILTER", exposure.filter, "name of the filter or grating"),
        ("RA", exposure.ra, "[h:m:s] right ascension of the pointing"),
        ("DEC", exposure.dec, "[d:m:s] declination of the pointing"),
        ("EQUINOX", 2000.0, "[yr] equinox of RA and DEC"),
        ("RADESYS", "ICRS", "reference frame of RA and DEC"),
        ("CCDSUM", f"{binning} {binning}", "on-chip binning"),
        ("GAIN", 1.0, "[electron/count] gain"),
        ("RDNOISE", READ_NOISE, "[electron] read noise"),
        ("BUNIT", "count", "unit of the pixels"),
        ("OBSERVER", "Lowell", "name of the observer"),
        ("ORIGIN", "archq demo", "made-up pixels, no observation"),
    ]


def _at(hours: int, minutes: int = 0) -> timedelta:
    return timedelta(hours=hours, minutes=minutes)


MINICAM = Camera(
    name="minicam",
    directory="ARCHMINICAM/%Y.%m%d",
    file_name="img{:04d}.fits",
    detector="EEV 42-90",
    light=_stars,
    exposures=(
        Exposure(kind="zero", target="bias", start=_at(4, 35), seconds=0, filter="dark", rows=1024, columns=1152),
        Exposure(
            kind="flat", target="twilight", start=_at(6, 2), seconds=8, filter="r", rows=2048, columns=1024, level=21000
        ),
        Exposure(
            kind="object", target="focus", start=_at(6, 40), seconds=10, filter="r", rows=512, columns=512,
            ra="01:04:12.00", dec="+32:10:05.0", level=60,
        ),
        Exposure(
            kind="object", target="NGC 891", start=_at(8, 15), seconds=300, filter="r", rows=2304, columns=2048,
            ra="02:22:33.40", dec="+42:20:57.0", level=900,
        ),
        Exposure(
            kind="object", target="M 33", start=_at(10, 24), seconds=300, filter="g", rows=2304, columns=2048,
            ra="01:33:50.90", dec="+30:39:37.0", level=500,
        ),
        Exposure(
            kind="object", target="SA 98", start=_at(16, 48), seconds=30, filter="i", rows=2304, columns=1536,
            ra="06:51:33.70", dec="-00:15:45.0", level=700,
        ),
    ),
)  # fmt: skip

HECTOSPEC = Camera(
    name="hectospec",
    directory="hectospec",
    file_name="spec.{:04d}.fits",
    detector="E2V 42-90 pair",
    light=_fibres,
    exposures=(
        Exposure(kind="zero", target="bias", start=_at(4, 50), seconds=0, filter="270_gpm", rows=1024, columns=1024),
        Exposure(
            kind="comp", target="HeNeAr", start=_at(7, 5), seconds=300, filter="270_gpm", rows=2304, columns=1024
        ),
        Exposure(
            kind="object", target="Abell 426", start=_at(9, 30), seconds=1200, filter="270_gpm",
            rows=4608, columns=2048, ra="03:19:47.20", dec="+41:30:47.0", level=120,
        ),
        Exposure(
            kind="object", target="Abell 496", start=_at(13, 12), seconds=900, filter="270_gpm",
            rows=2304, columns=2048, ra="04:33:38.40", dec="-13:15:33.0", level=110,
        ),
    ),
)  # fmt: skip
