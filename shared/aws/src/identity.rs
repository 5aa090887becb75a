//! Who calls, as AWS sees it.

use crate::connect::Connection;
use crate::failure::Failure;

/// Why nobody could say who calls.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("AWS did not say whose credentials these are: {0}")]
pub struct IdentityError(pub String);

/// The ARN of the caller: a user, or a role with its session's name. Needs no permission.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>
///
/// # Errors
/// No credentials, credentials that are not valid, or no answer.
pub async fn identity(connection: &Connection) -> Result<String, IdentityError> {
    let client = aws_sdk_sts::Client::new(connection.config());
    let who = client
        .get_caller_identity()
        .send()
        .await
        .map_err(|error| IdentityError(Failure::of(&error).text()))?;
    who.arn.ok_or_else(|| IdentityError("an answer without an ARN".to_owned()))
}
