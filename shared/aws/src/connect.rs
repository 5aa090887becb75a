//! The one configuration that all clients of a process are made from.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use std::fmt;
use std::time::Duration;

/// Tries of one call, the first one included. The SDK's standard mode waits a random part ("full
/// jitter") of a doubling pause between them. Few, because whoever calls tries again too: the driver
/// at once, the state machine with growing pauses that cost nothing.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>
pub(crate) const TRIES: u32 = 3;

/// The first pause, before chance shortens it.
const PAUSE_FIRST: Duration = Duration::from_millis(50);

/// The longest pause, before chance shortens it.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one try of a call may take. Reading a plan of a few megabytes is the longest of them.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach AWS: what is not said comes from the usual places (variables such as `AWS_REGION` and
/// `AWS_ENDPOINT_URL`, the shared configuration files, the function's or machine's role).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Connect {
    /// The region, such as `eu-west-1`.
    pub region: Option<String>,
    /// A profile of the shared configuration files.
    pub profile: Option<String>,
    /// Where every service answers, instead of AWS: an emulator.
    pub endpoint: Option<String>,
    /// Access key id and secret access key, for an emulator: it checks neither.
    pub keys: Option<(String, String)>,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys are never shown.
        f.debug_struct("Connect")
            .field("region", &self.region)
            .field("profile", &self.profile)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// Why AWS cannot be reached at all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody said which region.
    #[error("no AWS region is known: set AWS_REGION, or a region in the profile")]
    NoRegion,
}

/// What all clients of a process are made from: region, credentials, HTTP client, retries. Cheap to
/// copy; connections are shared by its copies.
#[derive(Clone, Debug)]
pub struct Connection {
    config: SdkConfig,
}

impl Connection {
    /// Finds region and credentials. Calls no service; credentials are fetched with the first call.
    ///
    /// # Errors
    /// No region is known.
    pub async fn open(connect: Connect) -> Result<Self, ConnectError> {
        // rustls over ring: small in a package, and without a C toolchain of its own.
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(TRIES)
                    .with_initial_backoff(PAUSE_FIRST)
                    .with_max_backoff(PAUSE_MAX),
            )
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(TRY_TIMEOUT)
                    .build(),
            );
        if let Some(region) = connect.region {
            loader = loader.region(Region::new(region));
        }
        if let Some(profile) = connect.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = connect.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some((id, secret)) = connect.keys {
            loader = loader.credentials_provider(Credentials::new(id, secret, None, None, "given"));
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(ConnectError::NoRegion);
        }
        Ok(Self { config })
    }

    /// The region in use.
    pub fn region(&self) -> &str {
        self.config.region().map_or("", |region| region.as_ref())
    }

    /// Whether something else than AWS answers.
    pub(crate) fn is_emulated(&self) -> bool {
        self.config.endpoint_url().is_some()
    }

    pub(crate) const fn config(&self) -> &SdkConfig {
        &self.config
    }
}
