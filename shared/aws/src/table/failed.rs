//! DynamoDB's failures as the port's.

use crate::failure::{Failure, Kind};
use aws_sdk_dynamodb::types::CancellationReason;
use cauce_model::item::ITEM_BYTES_MAX;
use cauce_ports::TableError;

/// The code of a condition that did not hold.
pub(super) const CONDITION: &str = "ConditionalCheckFailedException";

/// What a failed call means. Conditions of single items are [`TableError::Condition`] of the first.
pub(super) fn table_error(failure: &Failure) -> TableError {
    match (failure.code.as_str(), failure.kind) {
        (CONDITION, _) => TableError::Condition { failed: vec![0] },
        ("TransactionConflictException" | "TransactionInProgressException", _) => TableError::Conflict,
        ("ResourceNotFoundException", _) => {
            let text = "there is no such table or index: is the environment deployed? \
                        'cauce deploy --env ENV' deploys it, 'cauce doctor --env ENV' says what is there";
            TableError::Unusable(text.to_owned())
        }
        ("ItemCollectionSizeLimitExceededException", _) => too_large(),
        (_, Kind::Throttled) => TableError::Throttled,
        (_, Kind::Denied) => TableError::Unusable(format!("no access to the table: {}", failure.text())),
        (_, Kind::Refused) if is_size(&failure.message) => too_large(),
        (_, Kind::Refused) => TableError::Refused(failure.text()),
        (_, Kind::Unanswered) => TableError::Unknown(failure.text()),
    }
}

/// Why a transaction was cancelled, given its parts' reasons and their positions among the writes.
///
/// A condition that did not hold is told first: then something has changed, and the decision is to be
/// made anew, whatever else stood in the way.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
pub(super) fn cancelled(reasons: &[CancellationReason], positions: &[usize]) -> TableError {
    let of =
        |codes: &[&str]| reasons.iter().any(|reason| reason.code().is_some_and(|code| codes.contains(&code)));
    let failed: Vec<usize> = reasons
        .iter()
        .zip(positions)
        .filter(|(reason, _)| reason.code() == Some("ConditionalCheckFailed"))
        .map(|(_, position)| *position)
        .collect();
    if !failed.is_empty() {
        return TableError::Condition { failed };
    }
    if let Some(reason) = reasons.iter().find(|reason| reason.code() == Some("ValidationError")) {
        let message = reason.message().unwrap_or_default();
        return if is_size(message) { too_large() } else { TableError::Refused(message.to_owned()) };
    }
    if of(&["ItemCollectionSizeLimitExceeded"]) {
        too_large()
    } else if of(&["ProvisionedThroughputExceeded", "ThrottlingError"]) {
        TableError::Throttled
    } else if of(&["TransactionConflict"]) {
        TableError::Conflict
    } else {
        TableError::Unknown("a transaction was cancelled without a reason".to_owned())
    }
}

/// Whether a validation failed for the size of an item or a request.
fn is_size(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("item size")
        || message.contains("size limit")
        || message.contains("maximum allowed size")
}

/// DynamoDB does not say how large: more than it takes.
const fn too_large() -> TableError {
    TableError::TooLarge { bytes: ITEM_BYTES_MAX + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str, message: &str, status: u16) -> TableError {
        table_error(&Failure::answered(Some(code), Some(message), status))
    }

    fn reason(code: &str, message: &str) -> CancellationReason {
        CancellationReason::builder().code(code).message(message).build()
    }

    #[test]
    fn failures_of_single_calls_are_sorted() {
        assert_eq!(of(CONDITION, "", 400), TableError::Condition { failed: vec![0] });
        assert_eq!(of("TransactionConflictException", "", 400), TableError::Conflict);
        assert_eq!(of("TransactionInProgressException", "", 400), TableError::Conflict);
        assert_eq!(of("ProvisionedThroughputExceededException", "", 400), TableError::Throttled);
        assert_eq!(of("RequestLimitExceeded", "", 400), TableError::Throttled);
        assert!(matches!(of("IdempotentParameterMismatchException", "", 400), TableError::Refused(_)));
        assert!(matches!(of("ResourceNotFoundException", "", 400), TableError::Unusable(_)));
        assert!(matches!(of("AccessDeniedException", "", 400), TableError::Unusable(_)));
        assert!(matches!(of("InternalServerError", "", 500), TableError::Unknown(_)));
        let size = "Item size to update has exceeded the maximum allowed size";
        assert!(matches!(of("ValidationException", size, 400), TableError::TooLarge { .. }));
        let key =
            "One or more parameter values were invalid: An AttributeValue may not contain an empty string";
        assert!(matches!(of("ValidationException", key, 400), TableError::Refused(_)));
    }

    #[test]
    fn a_cancelled_transaction_names_the_writes_whose_condition_failed() {
        let none = || reason("None", "");
        let failed = || reason("ConditionalCheckFailed", "The conditional request failed");
        // The second of four writes was a check of nothing and left out.
        assert_eq!(
            cancelled(&[failed(), reason("TransactionConflict", ""), failed()], &[0, 2, 3]),
            TableError::Condition { failed: vec![0, 3] }
        );
        let one = |code: &str, message: &str| cancelled(&[none(), reason(code, message)], &[0, 1]);
        assert_eq!(one("TransactionConflict", ""), TableError::Conflict);
        assert_eq!(one("ThrottlingError", ""), TableError::Throttled);
        assert_eq!(one("ProvisionedThroughputExceeded", ""), TableError::Throttled);
        assert!(matches!(one("ValidationError", "Item size has exceeded"), TableError::TooLarge { .. }));
        assert!(matches!(one("ValidationError", "wrong type"), TableError::Refused(_)));
        assert!(matches!(one("None", ""), TableError::Unknown(_)));
    }
}
