"""What can go wrong with the journal. Foreign exceptions are translated where they arise.

JournalError
├── NotStored         the write is known not to be in the log; later writes may succeed
│   ├── Locked        another program had the log locked
│   └── FilesGone     the log is not where it was opened: no later write succeeds either
├── OutcomeUnknown    the write may or may not be in the log; ask `EventLog.last_seq`
│   └── DiskFailed    and the disk is not to be trusted: the process has to end
├── Unavailable       a read failed; it may succeed later
│   └── ArchiveUnreadable    of a file of the archive; the message names it
│       ├── ArchiveGone         it is not there
│       └── ArchiveDamaged      it is not as it was written
├── Corrupt           stored bytes are not what this version can read
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


class ArchiveUnreadable(Unavailable):
    """A file of the archive cannot be read; the message names it, without its directory."""


class ArchiveGone(ArchiveUnreadable):
    """The file is not where it was written."""


class ArchiveDamaged(ArchiveUnreadable):
    """The file is not as it was written."""


class Corrupt(JournalError):
    """Stored bytes cannot be read: damaged, or written by a newer version."""


class Refused(JournalError):
    """The journal cannot be opened; the message says why in one line."""
