//! Requests and responses as API Gateway hands them over: payload format 2.0.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use cauce_api::Body;
use cauce_api::message::{Request, response::Parts};
use data_encoding::BASE64;
use serde_json::{Map, Value as Json, json};
use std::fmt::Write;

/// The request of an event.
///
/// # Errors
/// In words, what makes it none: a version of another shape, a method or header that HTTP does not know.
pub(crate) fn request(event: &Json) -> Result<Request<Body>, String> {
    if event["version"] != "2.0" {
        return Err("not a request of payload format 2.0".to_owned());
    }
    let text = |value: &Json| value.as_str().map(str::to_owned);
    let method = text(&event["requestContext"]["http"]["method"]).ok_or("the request has no method")?;
    let path = text(&event["rawPath"]).ok_or("the request has no path")?;
    let mut uri = encoded(&path);
    if let Some(query) = event["rawQueryString"].as_str().filter(|query| !query.is_empty()) {
        uri.push('?');
        uri.push_str(&encoded(query));
    }
    let mut request = Request::builder().method(method.as_str()).uri(uri);
    for (name, value) in event["headers"].as_object().into_iter().flatten() {
        if let Some(value) = value.as_str() {
            request = request.header(name.as_str(), value);
        }
    }
    let body = match (event["body"].as_str(), event["isBase64Encoded"].as_bool()) {
        (None, _) => Vec::new(),
        (Some(body), Some(true)) => {
            BASE64.decode(body.as_bytes()).map_err(|_| "the body is said to be base64, and is not")?
        }
        (Some(body), _) => body.as_bytes().to_vec(),
    };
    request.body(Body::from(body)).map_err(|error| format!("not a request: {error}"))
}

/// The path arrives decoded; what an address may not hold is encoded again.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}#?".contains(&byte) || byte == b'?' {
            out.push(byte as char);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A response. All of ours are text.
pub(crate) fn response(head: &Parts, body: &[u8]) -> Json {
    let headers: Map<String, Json> = head
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), Json::from(value.to_str().ok()?))))
        .collect();
    json!({
        "statusCode": head.status.as_u16(),
        "headers": headers,
        "body": String::from_utf8_lossy(body),
        "isBase64Encoded": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_requests_and_what_is_none_is_refused() {
        for (name, event) in cauce_testkit::fixtures(concat!(env!("CARGO_MANIFEST_DIR"), "/events")) {
            let read = request(&event);
            assert_eq!(read.is_err(), name.starts_with("bad-"), "{name}: {read:?}");
        }
    }

    #[test]
    fn path_query_headers_and_body_arrive_as_they_were_sent() {
        let event = json!({
            "version": "2.0", "rawPath": "/v1/pipelines/a b", "rawQueryString": "limit=3&cursor=0%23a",
            "headers": {"authorization": "Bearer x"}, "body": "e30=", "isBase64Encoded": true,
            "requestContext": {"http": {"method": "POST"}},
        });
        let request = request(&event).unwrap();
        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri(), "/v1/pipelines/a%20b?limit=3&cursor=0%23a");
        assert_eq!(request.headers()["authorization"], "Bearer x");
    }

    #[test]
    fn a_response_keeps_its_status_and_headers() {
        let (head, ()) = cauce_api::message::Response::builder()
            .status(401)
            .header("www-authenticate", "Bearer")
            .body(())
            .unwrap()
            .into_parts();
        let wanted = json!({"statusCode": 401, "headers": {"www-authenticate": "Bearer"}, "body": "no", "isBase64Encoded": false});
        assert_eq!(response(&head, b"no"), wanted);
    }
}
