"""Who calls: each process that the emulator starts has an access key of its own, which maps to its role.

ministack checks no signature, so a key is enough to know who signed a request
(<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>: the key stands in the
credential scope of the Authorization header).
"""

import secrets
import threading
from dataclasses import dataclass, field

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam

CALLER = "caller"
"""The principal of a key that the emulator did not issue: the person or the test outside."""

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass
class Identity:
    """A process that the emulator started."""

    key: str
    principal: str
    """ARN of the role."""
    function: str | None = None
    """Name of the Lambda function whose environment it is."""
    pid: int | None = None
    calls: int = 0
    """Calls it made since its present invocation began."""
    chain: dict[str, int] = field(default_factory=dict)
    """How often each function was called in the chain of messages that its present invocation belongs to."""
    hung: bool = False
    """Whether its calls are answered no more."""


_lock = threading.Lock()
_issued: dict[str, Identity] = {}


def issue(principal: str, function: str | None = None) -> Identity:
    """A new key for a process with this role."""
    key = "ASIA" + "".join(secrets.choice(_ALPHABET) for _ in range(16))
    identity = Identity(key, principal, function)
    with _lock:
        _issued[key] = identity
    return identity


def allows(role: str, action: str, resource: str) -> bool:
    """Whether the policies of a role allow a call. A role that nobody made, as tests name them, may do all."""
    account, name = get_account_id(), role.rsplit("/", 1)[-1]
    if iam._roles.get_scoped(account, None, name) is None:
        return True
    asked = iam_evaluator.EvalContext(role, "AssumedRole", account, action, resource, get_region())
    policies = iam_evaluator._gather_role_policies(name, account)
    return iam_evaluator.evaluate(asked, policies).decision == "Allow"


def find(key: str | None) -> Identity | None:
    """The process that holds a key."""
    with _lock:
        return _issued.get(key or "")


def variables(identity: Identity, endpoint: str, region: str) -> dict[str, str]:
    """The environment by which any AWS SDK calls this emulator as this identity."""
    return {
        "AWS_ACCESS_KEY_ID": identity.key,
        "AWS_SECRET_ACCESS_KEY": "emulated",
        "AWS_SESSION_TOKEN": "emulated",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
