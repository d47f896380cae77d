"""What a request can be refused for, with its status in both protocols."""

from __future__ import annotations

from typing import ClassVar

from kxchange.errors import KxchangeError


class ServingError(KxchangeError):
    """Base of what a client is told.

    Attributes:
        status: HTTP status.
        code: Name of the gRPC status.
        reason: Label in the metrics.
        retry_after: Seconds after which to try again, where that helps.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "OTHER"
    retry_after: ClassVar[int | None] = None


class BadRequestError(ServingError):
    """A request that is malformed or does not fit the model."""

    status = 400
    code = "INVALID_ARGUMENT"


class UnauthorizedError(ServingError):
    """A token is needed and was not given."""

    status = 401
    code = "UNAUTHENTICATED"


class ForbiddenError(ServingError):
    """Something that this server was not started to do."""

    status = 403
    code = "PERMISSION_DENIED"


class NotFoundError(ServingError):
    """No such model, version or address."""

    status = 404
    code = "NOT_FOUND"


class MethodError(ServingError):
    """An address that takes another HTTP method."""

    status = 405
    code = "UNIMPLEMENTED"


class SlowClientError(ServingError):
    """A body that did not arrive in time."""

    status = 408
    code = "DEADLINE_EXCEEDED"


class TooLargeError(ServingError):
    """A body or a number beyond the server's limit."""

    status = 413
    code = "RESOURCE_EXHAUSTED"


class EncodingError(ServingError):
    """A content encoding that the server does not read."""

    status = 415
    code = "INVALID_ARGUMENT"


class OverloadedError(ServingError):
    """The model's queue is full."""

    status = 429
    code = "RESOURCE_EXHAUSTED"
    reason = "REJECTED"
    retry_after = 1


class FailedError(ServingError):
    """The model itself failed on a request that looked right."""

    status = 500
    reason = "BACKEND"


class NotReadyError(ServingError):
    """A model that is there and does not answer: not loaded, not proven, or on its way out."""

    status = 503
    code = "UNAVAILABLE"
    retry_after = 1


class DeadlineError(ServingError):
    """The answer was not there in the time that the client or the server allows."""

    status = 504
    code = "DEADLINE_EXCEEDED"
    reason = "CANCELED"
