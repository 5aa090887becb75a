//! Calls of services of which we need a single operation: a signed request over the same connection. A
//! crate of such a service has hundreds of operations, and takes a minute or two to compile
//! (docs/decisions/0046).

use crate::connect::Connection;
use crate::failure::{Failure, Kind};
use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::timeout::TimeoutConfig;
use std::convert::Infallible;
use std::fmt;
use tokio::sync::OnceCell;

/// A service that is called so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Service {
    /// Lambda, which speaks REST.
    Lambda,
    /// The container registry, which speaks JSON with a target.
    Registry,
    /// IAM, which speaks forms and XML, in one region of each partition.
    Iam,
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Self::Lambda => "lambda",
            Self::Registry => "ecr",
            Self::Iam => "iam",
        }
    }

    /// Its address, and the region that it is signed for.
    /// <https://docs.aws.amazon.com/general/latest/gr/rande.html>
    fn endpoint(self, region: &str) -> (String, String) {
        let china = region.starts_with("cn-");
        let domain = if china { "amazonaws.com.cn" } else { "amazonaws.com" };
        match self {
            Self::Lambda => (format!("https://lambda.{region}.{domain}"), region.to_owned()),
            Self::Registry => (format!("https://api.ecr.{region}.{domain}"), region.to_owned()),
            Self::Iam if china => (format!("https://iam.cn-north-1.{domain}"), "cn-north-1".to_owned()),
            Self::Iam if region.starts_with("us-gov-") => {
                (format!("https://iam.us-gov.{domain}"), "us-gov-west-1".to_owned())
            }
            Self::Iam => (format!("https://iam.{domain}"), "us-east-1".to_owned()),
        }
    }
}

/// A request, before it is signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    pub(crate) service: Service,
    pub(crate) operation: &'static str,
    pub(crate) method: &'static str,
    /// From the slash on, escaped.
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

/// Signs and sends.
#[derive(Clone)]
pub(crate) struct Signed {
    config: SdkConfig,
    region: String,
    /// Fetched once: a role that is assumed for each call would be one call more each time.
    credentials: OnceCell<Credentials>,
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Credentials are never shown.
        f.debug_struct("Signed").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Signed {
    pub(crate) fn new(connection: &Connection) -> Self {
        let (config, region) = (connection.config().clone(), connection.region().to_owned());
        Self { config, region, credentials: OnceCell::new() }
    }

    /// Sends a request once; the body of its answer.
    pub(crate) async fn send(&self, call: Call) -> Result<Vec<u8>, Failure> {
        let (mut endpoint, region) = call.service.endpoint(&self.region);
        if let Some(emulator) = self.config.endpoint_url() {
            emulator.trim_end_matches('/').clone_into(&mut endpoint);
        }
        let credentials = self.credentials.get_or_try_init(|| self.credentials()).await?.clone();
        let (Some(http), Some(time), Some(sleep)) =
            (self.config.http_client(), self.config.time_source(), self.config.sleep_impl())
        else {
            return Err(refused("a connection without a client, clock or timer"));
        };
        let (service, operation) = (call.service.name(), call.operation);
        let request = signed(&call, &endpoint, &region, credentials, time.now())?;
        let timeouts = self.config.timeout_config().cloned();
        let operation = Operation::builder()
            .service_name(service)
            .operation_name(operation)
            .http_client(http)
            .endpoint_url(&endpoint)
            .no_auth()
            .no_retry()
            .sleep_impl(sleep)
            .time_source(time)
            .timeout_config(timeouts.unwrap_or_else(TimeoutConfig::disabled))
            .serializer(|request: HttpRequest| Ok(request))
            .deserializer(answer)
            .build();
        let (status, body) = operation.invoke(request).await.map_err(|error| Failure {
            kind: Kind::Unanswered,
            code: String::new(),
            message: error.to_string(),
        })?;
        if (200..300).contains(&status) { Ok(body) } else { Err(failed(status, &body)) }
    }

    async fn credentials(&self) -> Result<Credentials, Failure> {
        let denied = |message: String| Failure { kind: Kind::Denied, code: String::new(), message };
        let provider = self
            .config
            .credentials_provider()
            .ok_or_else(|| denied("there are no credentials".to_owned()))?;
        provider.provide_credentials().await.map_err(|error| denied(error.to_string()))
    }
}

fn refused(message: &str) -> Failure {
    Failure { kind: Kind::Refused, code: String::new(), message: message.to_owned() }
}

/// The request with its signature.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>
fn signed(
    call: &Call,
    endpoint: &str,
    region: &str,
    credentials: Credentials,
    now: std::time::SystemTime,
) -> Result<HttpRequest, Failure> {
    let failed = |error: &dyn fmt::Display| refused(&format!("{}: {error}", call.operation));
    let identity = credentials.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(call.service.name())
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| failed(&error))?
        .into();
    let url = format!("{endpoint}{}", call.path);
    let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let body = SignableBody::Bytes(call.body.as_bytes());
    let signable = SignableRequest::new(call.method, &url, headers, body).map_err(|error| failed(&error))?;
    let (signature, _) = sign(signable, &params).map_err(|error| failed(&error))?.into_parts();
    let mut request = HttpRequest::new(SdkBody::from(call.body.as_str()));
    request.set_method(call.method).map_err(|error| failed(&error))?;
    request.set_uri(url).map_err(|error| failed(&error))?;
    for (name, value) in &call.headers {
        request.headers_mut().insert(*name, value.clone());
    }
    for (name, value) in signature.headers() {
        request.headers_mut().insert(name.to_owned(), value.to_owned());
    }
    Ok(request)
}

/// Takes any answer: what it means is decided by its status.
fn answer(response: &HttpResponse) -> Result<(u16, Vec<u8>), OrchestratorError<Infallible>> {
    let body = response.body().bytes().unwrap_or_default().to_vec();
    Ok((response.status().as_u16(), body))
}

/// A failure in either of the forms in which these services tell one: JSON with `__type` or `Type`, or
/// XML with `<Code>`.
fn failed(status: u16, body: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(body);
    let (code, message) = match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(json) => {
            let field =
                |names: [&str; 3]| names.iter().find_map(|name| json.get(name)?.as_str()).map(str::to_owned);
            // `Code:details` and `namespace#Code` both name the code.
            let code = field(["__type", "code", "Code"]);
            let code = code.and_then(|code| code.split('#').next_back().map(str::to_owned));
            (code, field(["message", "Message", "errorMessage"]))
        }
        Err(_) => (element(&text, "Code").map(str::to_owned), element(&text, "Message").map(str::to_owned)),
    };
    // Lambda's own code stands in a header; its status says the same for what is looked for here.
    let code = code.or_else(|| (status == 404).then(|| "ResourceNotFoundException".to_owned()));
    Failure::answered(code.as_deref(), message.as_deref(), status)
}

/// The text of the first element of a name, in XML that AWS writes: no attributes, no nesting of it.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    elements(xml, name).next()
}

/// The texts of all elements of a name.
pub(crate) fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts: Vec<&str> = xml.split(&*open).skip(1).collect();
    parts.into_iter().filter_map(move |rest| rest.split(&*close).next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn call() -> Call {
        Call {
            service: Service::Iam,
            operation: "ListUsers",
            method: "GET",
            path: "/?Action=ListUsers&Version=2010-05-08".to_owned(),
            headers: vec![("content-type", "application/x-www-form-urlencoded; charset=utf-8".to_owned())],
            body: String::new(),
        }
    }

    /// The example of AWS's documentation of the signature, with its key, its moment and its result.
    #[test]
    fn a_request_is_signed_as_documented() {
        let credentials = Credentials::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            None,
            None,
            "documentation",
        );
        let at = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let (endpoint, region) = Service::Iam.endpoint("us-east-1");
        let request = signed(&call(), &endpoint, &region, credentials, at).unwrap();
        assert_eq!(
            request.headers().get("authorization").unwrap(),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn services_have_their_addresses_in_each_partition() {
        assert_eq!(Service::Registry.endpoint("eu-west-1").0, "https://api.ecr.eu-west-1.amazonaws.com");
        assert_eq!(Service::Lambda.endpoint("cn-north-1").0, "https://lambda.cn-north-1.amazonaws.com.cn");
        let gov = Service::Iam.endpoint("us-gov-east-1");
        assert_eq!(gov, ("https://iam.us-gov.amazonaws.com".to_owned(), "us-gov-west-1".to_owned()));
    }

    #[test]
    fn failures_are_read_in_all_their_forms() {
        let json = br#"{"__type": "com.amazonaws.ecr#ImageNotFoundException", "message": "no such image"}"#;
        let failure = failed(400, json);
        assert_eq!(
            (failure.code.as_str(), failure.message.as_str()),
            ("ImageNotFoundException", "no such image")
        );
        let xml = b"<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>no role</Message></Error></ErrorResponse>";
        assert_eq!(failed(404, xml).code, "NoSuchEntity");
        assert_eq!(failed(404, br#"{"Message": "Function not found"}"#).code, "ResourceNotFoundException");
        assert_eq!(failed(403, b"").kind, Kind::Denied);
    }
}
