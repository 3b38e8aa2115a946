"""Which upload brought each file: servers log tries that failed, parts and copies beside it (pure)."""

from __future__ import annotations

from archq.light import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from archq.names import WireName
    from logsum.events import Upload
    from logsum.ledger import File


def arrived(uploads: Iterable[Upload], files: Mapping[str, File]) -> dict[str, Upload]:
    """Return the upload that brought each file, by id: of the try that was filed, whole, and the last of several.

    One that went on where others were cut is put together with them.  Of a file that no transfer log knows, any that
    its server calls complete will do.
    """
    brought: dict[str, Upload] = {}
    parts: dict[WireName, list[Upload]] = {}
    for upload in uploads:
        file = files.get(upload.wire.id)
        if not file:
            found = upload if upload.complete else None
        elif upload.wire == told(file):
            found = _whole(upload, file.latest.size, parts)
        else:
            continue
        if found:
            brought[upload.wire.id] = found
    return brought


def told(file: File) -> WireName:
    """Return the try that was filed, else the last one that anything was said of."""
    return (file.archived or file.latest).wire


def _whole(upload: Upload, size: int | None, parts: dict[WireName, list[Upload]]) -> Upload | None:
    if size is None or upload.size == size:
        return upload if upload.complete else None
    begun = parts.setdefault(upload.wire, [])
    begun.append(upload)
    return next((whole for whole in _joined(begun) if whole.complete and whole.size == size), None)


def _joined(parts: Sequence[Upload]) -> Iterator[Upload]:
    """Yield what the last parts make together: two, three and so on."""
    whole = parts[-1]
    for part in reversed(parts[:-1]):
        seconds = None if whole.seconds is None or part.seconds is None else whole.seconds + part.seconds
        whole = replace(whole, size=whole.size + part.size, seconds=seconds)
        yield whole
