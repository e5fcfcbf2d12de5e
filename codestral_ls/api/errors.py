"""What can go wrong with the API: one exception for each thing that a user can do about it.

Every message is a whole sentence for the user: what happened, to what, and the mend. None ever holds the key.
"""

from __future__ import annotations

from typing import ClassVar


class ApiError(Exception):
    """A call to the API failed. `str(error)` is the sentence to show.

    `kind` names the remedy: failures of one kind are said once until the kind clears.
    `status` is the HTTP status, if there was one. `retry_at` is the time (in seconds of the client's clock)
    before which asking again is useless, if the API named one.
    """

    kind: ClassVar[str] = "api"
    transient: ClassVar[bool] = False
    """Whether the same request may succeed later without anybody doing anything."""

    def __init__(self, message: str, *, status: int | None = None, retry_at: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_at = retry_at


class NoKey(ApiError):
    """There is no key to send."""

    kind = "no-key"


class BadKey(ApiError):
    """The key is refused (401)."""

    kind = "bad-key"


class KeyForOtherHost(BadKey):
    """The configured host refuses the key, and Mistral has another host that such keys may belong to."""

    kind = "key-for-other-host"


class NoAddress(ApiError):
    """Where to ask was set to something that cannot be used, and nobody has allowed anything else."""

    kind = "address"


class NotInPlan(ApiError):
    """The key is good, but its plan does not include this model (402, 403, or a request limit of 0)."""

    kind = "not-in-plan"


class ModelUnavailable(ApiError):
    """The model does not exist, is retired, or cannot do what was asked (such as FIM)."""

    kind = "model"


class RequestTooLarge(ApiError):
    """The prompt does not fit into the model's context."""

    kind = "too-large"


class RequestRefused(ApiError):
    """The API refuses the form of the request (400, 404, 422): a wrong address, or our mistake."""

    kind = "refused"


class RateLimited(ApiError):
    """Too many requests or tokens (429)."""

    kind = "rate-limited"
    transient = True


class Overloaded(ApiError):
    """The API itself fails or is full (5xx, or a 429 that speaks of capacity)."""

    kind = "overloaded"
    transient = True


class TimedOut(ApiError):
    """The API took too long to connect, to begin its answer, or fell silent in the middle of one."""

    kind = "timed-out"
    transient = True


class Unreachable(ApiError):
    """No connection: no network, an unknown host, a refused or broken connection."""

    kind = "unreachable"
    transient = True


class ProxyFailed(ApiError):
    """The proxy refuses, or speaks no protocol that we know."""

    kind = "proxy"


class CertificateRefused(ApiError):
    """The server's certificate is not trusted."""

    kind = "certificate"


class NonsenseAnswer(ApiError):
    """The answer is not one of this API: an HTML page, broken JSON, an answer without end."""

    kind = "nonsense"
