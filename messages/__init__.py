"""The wire contract of meterd: all that a caller needs, and nothing else of the project.

In a checkout this is `messages`; installed it is `meterd`:

    from meterd import UsageClient

What is in `__all__` is the public interface. Each name is imported when it is first asked for, so
a caller who needs types only imports no NATS client, and neither does the service, which uses
the modules of this package one by one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .admission import (
        EnforceReply,
        Held,
        HoldEntry,
        HoldReply,
        HoldsReply,
        LimitState,
        OperationReply,
        PreflightReply,
        ReleaseReply,
    )
    from .client.client import UsageClient, outcomes
    from .client.fields import (
        EnforceFields,
        ExtendFields,
        HoldFields,
        LogsFields,
        OperationFields,
        PreflightHoldFields,
        SubscribeFields,
        TrackFields,
    )
    from .errors import (
        AnswerBlocked,
        InvalidRequest,
        MeterdError,
        NoAnswer,
        NoService,
        NotPermitted,
        RequestError,
    )
    from .prices import (
        UnpricedEntry,
        UnpricedReply,
    )
    from .publications import PeriodNotice
    from .reports import (
        AckReply,
        AlertReply,
        AlertsReply,
        DashboardReply,
        Estimated,
        LogEntry,
        LogsReply,
        NamedUsage,
        PlanLimits,
        Projections,
        ProviderTrend,
        StatsReply,
        TrendsReply,
        Usage,
    )
    from .subscriptions import (
        RenewalEntry,
        SubscriptionChangeReply,
        SubscriptionReply,
        SubscriptionState,
        UsageBefore,
    )
    from .usage import BatchReply, ResetReply, TrackReply

__version__ = "0.1.0"  # of the service too

__all__ = [
    "AckReply",
    "AlertReply",
    "AlertsReply",
    "AnswerBlocked",
    "BatchReply",
    "DashboardReply",
    "EnforceFields",
    "EnforceReply",
    "Estimated",
    "ExtendFields",
    "Held",
    "HoldEntry",
    "HoldFields",
    "HoldReply",
    "HoldsReply",
    "InvalidRequest",
    "LimitState",
    "LogEntry",
    "LogsFields",
    "LogsReply",
    "MeterdError",
    "NamedUsage",
    "NoAnswer",
    "NoService",
    "NotPermitted",
    "OperationFields",
    "OperationReply",
    "PeriodNotice",
    "PlanLimits",
    "PreflightHoldFields",
    "PreflightReply",
    "Projections",
    "ProviderTrend",
    "ReleaseReply",
    "RenewalEntry",
    "RequestError",
    "ResetReply",
    "StatsReply",
    "SubscribeFields",
    "SubscriptionChangeReply",
    "SubscriptionReply",
    "SubscriptionState",
    "TrackFields",
    "TrackReply",
    "TrendsReply",
    "UnpricedEntry",
    "UnpricedReply",
    "Usage",
    "UsageBefore",
    "UsageClient",
    "outcomes",
]

_MODULES: Final = (
    *("errors", "usage", "admission", "subscriptions", "reports", "publications", "catalog"),
    "prices",
    *("client.fields", "client.client"),  # the last one, which imports the NATS client
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            found = vars(import_module(f"{__name__}.{module}"))
            if name in found:
                globals()[name] = found[name]
                return found[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
