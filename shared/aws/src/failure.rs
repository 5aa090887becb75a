//! What the failures of all services have in common, sorted once.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use cauce_ports::with_sources;
use std::error::Error;

/// Codes with which services say that they are over a rate.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>
const THROTTLES: [&str; 16] = [
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingError",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "TransactionThrottled",
];

/// Codes with which services say that we may not.
const DENIALS: [&str; 11] = [
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "NotAuthorized",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// How a call failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Over a rate; nothing was done.
    Throttled,
    /// We may not; nothing was done.
    Denied,
    /// Not a request the service takes; nothing was done.
    Refused,
    /// No answer, or an answer that the service is broken: it may have been done.
    Unanswered,
}

/// A failed call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// The service's code, such as `ValidationException`; empty when there was no answer.
    pub(crate) code: String,
    /// For people. Never part of the request.
    pub(crate) message: String,
}

impl Failure {
    /// Sorts the failure of a call.
    pub(crate) fn of<E>(error: &SdkError<E, Response>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match error {
            SdkError::ServiceError(answer) => {
                let (code, message) = (answer.err().code(), answer.err().message());
                Self::answered(code, message, answer.raw().status().as_u16())
            }
            SdkError::ConstructionFailure(_) => {
                Self { kind: Kind::Refused, code: String::new(), message: with_sources(error) }
            }
            // No credentials is a failure before the request leaves.
            SdkError::DispatchFailure(failure) if failure.is_user() => {
                Self { kind: Kind::Denied, code: String::new(), message: with_sources(error) }
            }
            _ => Self { kind: Kind::Unanswered, code: String::new(), message: with_sources(error) },
        }
    }

    /// Sorts what a service answered.
    pub(crate) fn answered(code: Option<&str>, message: Option<&str>, status: u16) -> Self {
        let name = code.unwrap_or_default();
        let message = message.unwrap_or_default();
        let kind = if THROTTLES.contains(&name) || status == 429 || message.contains("Rate exceeded") {
            // Some services hide a throttle in InvalidParameterException "Rate exceeded".
            Kind::Throttled
        } else if status >= 500 {
            Kind::Unanswered
        } else if DENIALS.contains(&name) || matches!(status, 401 | 403) {
            Kind::Denied
        } else {
            Kind::Refused
        };
        Self { kind, code: name.to_owned(), message: message.to_owned() }
    }

    /// Code and message, for people.
    pub(crate) fn text(&self) -> String {
        match (self.code.as_str(), self.message.as_str()) {
            ("", message) => message.to_owned(),
            (code, "") => code.to_owned(),
            (code, message) => format!("{code}: {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sorted_by_code_and_status() {
        for (code, message, status, kind) in [
            ("ThrottlingException", "slow down", 400, Kind::Throttled),
            ("InvalidParameterException", "Rate exceeded.", 400, Kind::Throttled),
            ("SlowDown", "", 503, Kind::Throttled),
            ("InternalServerError", "", 500, Kind::Unanswered),
            ("ServiceUnavailable", "", 503, Kind::Unanswered),
            ("AccessDeniedException", "", 400, Kind::Denied),
            ("", "", 403, Kind::Denied),
            ("ValidationException", "no", 400, Kind::Refused),
        ] {
            let sorted = Failure::answered(Some(code), Some(message), status);
            assert_eq!(sorted.kind, kind, "{code} {status}");
        }
    }

    #[test]
    fn a_failure_reads_as_code_and_message() {
        assert_eq!(Failure::answered(Some("A"), Some("b"), 400).text(), "A: b");
        assert_eq!(Failure::answered(Some("A"), None, 400).text(), "A");
    }
}
