"""What can go wrong with the journal. Foreign exceptions are translated where they arise.

JournalError
├── NotStored         the write is known not to be in the log; later writes may succeed
│   ├── Locked        another program had the log locked
│   └── FilesGone     the log is not where it was opened: no later write succeeds either
├── OutcomeUnknown    the write may or may not be in the log; ask `EventLog.last_seq`
│   └── DiskFailed    and the disk is not to be trusted: the process has to end
├── Unavailable       a read failed; it may succeed later
│   ├── BeingMade     a derived file is made anew just now
│   └── ArchiveUnreadable    of a file of the archive; the message names it
│       ├── ArchiveGone         it is not there
│       └── ArchiveDamaged      it is not as it was written
├── Corrupt           stored bytes are not what this version can read
│   └── Damaged       they are not as they were written; names the file and the place
└── Refused           the journal cannot be opened: held, unwritable, of a newer version
"""

from __future__ import annotations


class JournalError(Exception):
    """The root of the layer's errors."""


class NotStored(JournalError):
    """The write failed and is known not to be in the log (disk full, say)."""


class Locked(NotStored):
    """Another program had the log locked for as long as the write could wait."""


class FilesGone(NotStored):
    """The log's files were removed or replaced; the message says which. The process has to end."""


class OutcomeUnknown(JournalError):
    """The write failed and may or may not be in the log."""


class DiskFailed(OutcomeUnknown):
    """An I/O error: what the kernel holds and what the disk holds may differ."""


class Unavailable(JournalError):
    """A read failed."""


class BeingMade(Unavailable):
    """What is needed is made anew from the log just now.

    Attributes:
        retry_s: about how many seconds that takes still.
    """

    def __init__(self, why: str, retry_s: float) -> None:
        super().__init__(why)
        self.retry_s = retry_s


class ArchiveUnreadable(Unavailable):
    """A file of the archive cannot be read; the message names it, without its directory."""


class ArchiveGone(ArchiveUnreadable):
    """The file is not where it was written."""


class ArchiveDamaged(ArchiveUnreadable):
    """The file is not as it was written."""


class Corrupt(JournalError):
    """Stored bytes cannot be read: damaged, or written by a newer version."""


class Damaged(Corrupt):
    """Stored bytes are not as they were written, and nothing makes them anew by itself.

    Attributes:
        file: its name, without the directory.
        place: what of it, for people: ``row 17``, say.
        do: what an operator can do.
        first: the first position that is affected, None if no position is known.
        last: the last one.
        why: what is wrong with them, for the log's line; empty if there is no more to say.
    """

    def __init__(
        self,
        file: str,
        place: str,
        do: str,
        *,
        first: int | None = None,
        last: int | None = None,
        why: str = "",
    ) -> None:
        many = last is not None and last != first
        how = "are not as they were" if many else "is not as it was"
        super().__init__(f"{place} of {file} {how} written")
        self.file = file
        self.place = place
        self.do = do
        self.first = first
        self.last = first if last is None else last
        self.why = why


class Refused(JournalError):
    """The journal cannot be opened; the message says why in one line."""
