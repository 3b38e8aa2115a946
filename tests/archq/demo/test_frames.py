"""The demonstration's frames: valid FITS, dated and sized like a night's work."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits

from archq.demo.frames import HECTOSPEC, MINICAM, MST, Camera, latest_night, write_frames

if TYPE_CHECKING:
    from pathlib import Path

NIGHT = date(2026, 11, 20)
BOTH = pytest.mark.parametrize("camera", [MINICAM, HECTOSPEC], ids=lambda camera: camera.name)


def frames_of(camera: Camera, root: Path) -> list[Path]:
    return write_frames(camera, root, NIGHT, binning=8)


@BOTH
@pytest.mark.filterwarnings("error")
def test_frames_are_valid_fits_with_true_checksums(camera: Camera, tmp_path: Path) -> None:
    for path in frames_of(camera, tmp_path):
        assert path.stat().st_size % 2880 == 0
        with fits.open(path, checksum=True) as hdus:
            hdus.verify("exception")
            assert {"CHECKSUM", "DATASUM", "EXPTIME", "OBJECT", "FILTER", "OBSERVER"} <= set(hdus[0].header)
            assert hdus[0].header["INSTRUME"] == camera.name


@BOTH
@pytest.mark.filterwarnings("ignore:Checksum verification failed")
def test_a_changed_pixel_is_noticed_by_its_checksum(camera: Camera, tmp_path: Path) -> None:
    path = frames_of(camera, tmp_path)[0]
    content = bytearray(path.read_bytes())
    content[2880 * 2] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"Datasum verification failed"), fits.open(path, checksum=True):
        pass


@BOTH
def test_a_frame_is_last_changed_when_its_exposure_has_been_read_out(camera: Camera, tmp_path: Path) -> None:
    for path in frames_of(camera, tmp_path):
        header = fits.getheader(path)
        start = datetime.fromisoformat(header["DATE-OBS"]).replace(tzinfo=UTC).timestamp()
        assert 0 < path.stat().st_mtime - start - header["EXPTIME"] < 60


@BOTH
def test_frames_are_spread_over_the_night_in_order(camera: Camera, tmp_path: Path) -> None:
    times = [path.stat().st_mtime for path in frames_of(camera, tmp_path)]
    noon = datetime(2026, 11, 20, 12, tzinfo=MST).timestamp()
    assert times == sorted(times)
    assert noon < times[0] < times[-1] - 3600 < noon + 86_400


def test_only_minicam_dates_its_directory(tmp_path: Path) -> None:
    assert frames_of(MINICAM, tmp_path)[0] == tmp_path / "ARCHMINICAM/2026.1120/img0001.fits"
    assert frames_of(HECTOSPEC, tmp_path)[0] == tmp_path / "hectospec/spec.0001.fits"


def test_the_same_night_has_the_same_pixels_and_another_night_others(tmp_path: Path) -> None:
    first, again = (fits.getdata(frames_of(MINICAM, tmp_path / name)[3]) for name in ("first", "again"))
    other = fits.getdata(write_frames(MINICAM, tmp_path, NIGHT + timedelta(days=1), binning=8)[3])
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_stars_stand_out_of_the_noise(tmp_path: Path) -> None:
    frames = frames_of(MINICAM, tmp_path)
    bias, field = fits.getdata(frames[0]), fits.getdata(frames[3])
    assert field.max() > np.median(field) + 1000
    assert bias.max() < np.median(bias) + 100


def test_a_night_differs_in_sizes_and_stays_below_120_megabytes() -> None:
    sizes = [2 * one.rows * one.columns for camera in (MINICAM, HECTOSPEC) for one in camera.exposures]
    assert 8 <= len(sizes) <= 12
    assert min(sizes) < 1_000_000 < 10_000_000 < max(sizes)
    assert sum(sizes) < 120_000_000


@pytest.mark.parametrize(
    ("now", "night"),
    [
        ("2026-11-21T11:59:59+00:00", date(2026, 11, 19)),  # 04:59 in Arizona: still observing
        ("2026-11-21T12:00:00+00:00", date(2026, 11, 20)),
        ("2026-11-22T11:00:00+00:00", date(2026, 11, 20)),
    ],
)
def test_the_latest_night_is_one_that_is_over(now: str, night: date) -> None:
    assert latest_night(datetime.fromisoformat(now)) == night
