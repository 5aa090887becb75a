//! The account's limits, from Service Quotas.

use crate::connect::Connection;
use crate::failure::Failure;
use aws_sdk_servicequotas::Client;

/// A limit of the account.
#[derive(Clone, PartialEq, Debug)]
pub struct Quota {
    /// Its name, as AWS shows it.
    pub name: String,
    /// Its value, in AWS's unit.
    pub value: f64,
    /// Whether it can be raised on request.
    pub adjustable: bool,
}

/// Why a limit could not be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the limit {service}/{code} could not be read: {reason}")]
pub struct QuotaError {
    /// The service's code, such as `fargate`.
    pub service: String,
    /// The limit's code, such as `L-3032A538`.
    pub code: String,
    /// What went wrong.
    pub reason: String,
}

/// The account's limits, in the connection's region.
#[derive(Clone, Debug)]
pub struct Quotas {
    client: Client,
}

impl Quotas {
    /// The limits of the connection's account.
    pub fn new(connection: &Connection) -> Self {
        Self { client: Client::new(connection.config()) }
    }

    /// A limit: the account's own value or, where none was ever applied, AWS's default.
    /// <https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html>
    ///
    /// # Errors
    /// There is no such limit, or the service did not answer.
    pub async fn get(&self, service: &str, code: &str) -> Result<Quota, QuotaError> {
        let failed = |reason| QuotaError { service: service.to_owned(), code: code.to_owned(), reason };
        let applied = self.client.get_service_quota().service_code(service).quota_code(code).send().await;
        let quota = match applied {
            Ok(found) => found.quota,
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_no_such_resource_exception()) =>
            {
                let call = self.client.get_aws_default_service_quota();
                let found = call.service_code(service).quota_code(code).send().await;
                found.map_err(|error| failed(Failure::of(&error).text()))?.quota
            }
            Err(error) => return Err(failed(Failure::of(&error).text())),
        };
        let quota = quota.ok_or_else(|| failed("an answer without a limit".to_owned()))?;
        Ok(Quota {
            name: quota.quota_name.unwrap_or_else(|| code.to_owned()),
            value: quota.value.ok_or_else(|| failed("an answer without a value".to_owned()))?,
            adjustable: quota.adjustable,
        })
    }
}
