//! Signed calls.

use cauce_api::webhook::{Received, Untrusted, at_once, confirmed, verify};
use cauce_model::Instant;
use cauce_model::time::MICROS;
use cauce_model::webhook::WebhookStyle;
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{json, parts};

const STYLES: [WebhookStyle; 4] =
    [WebhookStyle::Generic, WebhookStyle::Github, WebhookStyle::Slack, WebhookStyle::Meta];

/// The moment of every call, in seconds.
const NOW: i64 = 852_422_400;

/// `<body> CUT <headers: name: value, line by line> CUT <key>`.
pub(crate) fn webhook(input: &[u8]) {
    let [body, headers, key] = parts(input);
    let (Ok(headers), Ok(key)) = (std::str::from_utf8(headers), std::str::from_utf8(key)) else { return };
    let headers: Vec<(&str, &str)> = headers.lines().filter_map(|line| line.split_once(": ")).collect();
    let keys = [key.to_owned(), "second".to_owned()];
    for style in STYLES {
        unsigned(style, body, &headers);
        if !key.is_empty() {
            signed(style, body, &headers, &keys);
        }
    }
    let query: Vec<(String, String)> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    if let Some(challenge) = confirmed(&query, key) {
        let has = |name: &str, value: &str| query.iter().any(|pair| pair.0 == name && pair.1 == value);
        assert!(!key.is_empty() && has("hub.verify_token", key) && has("hub.challenge", challenge));
    }
}

const fn now() -> Instant {
    Instant::from_micros(NOW * MICROS)
}

fn look<'a>(headers: &'a [(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// Nobody guesses a key that is drawn from the body itself.
fn unsigned(style: WebhookStyle, body: &[u8], headers: &[(&str, &str)]) {
    let secret = format!("no input holds this: {}", HEXLOWER.encode(&digest(b"key", &[body])));
    let header = |name: &str| look(headers, name);
    let received = Received { header: &header, body };
    let refused = verify(style, &received, &[secret], now());
    assert!(refused.is_err(), "a call without the key is taken: {refused:?}");
    assert!(verify(style, &received, &[], now()).is_err(), "a webhook without keys takes a call");
    assert!(verify(style, &received, &[String::new()], now()).is_err(), "an empty key signs");
}

fn digest(key: &[u8], base: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|error| panic!("{error}"));
    base.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// The sender's side, written here once more: what is signed so is taken, what is changed then is not.
fn signed(style: WebhookStyle, body: &[u8], headers: &[(&str, &str)], keys: &[String; 2]) {
    let skew =
        look(headers, "skew").and_then(|text| text.parse::<i64>().ok()).unwrap_or(0).clamp(-1_000, 1_000);
    let stamp = (NOW + skew).to_string();
    let (name, prefix, base): (_, _, Vec<&[u8]>) = match style {
        WebhookStyle::Generic => ("cauce-signature", "v1=", vec![stamp.as_bytes(), b".", body]),
        WebhookStyle::Slack => ("x-slack-signature", "v0=", vec![b"v0:", stamp.as_bytes(), b":", body]),
        WebhookStyle::Github | WebhookStyle::Meta => ("x-hub-signature-256", "sha256=", vec![body]),
    };
    let signature = format!("{prefix}{}", HEXLOWER.encode(&digest(keys[0].as_bytes(), &base)));
    let header = |wanted: &str| match wanted {
        _ if wanted == name => Some(signature.as_str()),
        "cauce-timestamp" | "x-slack-request-timestamp" => Some(stamp.as_str()),
        "x-github-delivery" => Some("72d3162e"),
        other => look(headers, other),
    };
    let has_stamp = matches!(style, WebhookStyle::Generic | WebhookStyle::Slack);
    let taken = verify(style, &Received { header: &header, body }, keys, now());
    if has_stamp && skew.abs() > 300 {
        return assert_eq!(taken, Err(Untrusted::Skewed));
    }
    let genuine = taken.unwrap_or_else(|error| panic!("{style:?}: {}", error.words()));
    let rotated = [keys[1].clone(), keys[0].clone()];
    let again = verify(style, &Received { header: &header, body }, &rotated, now());
    assert_eq!(again.as_ref(), Ok(&genuine), "the order of the keys tells");
    at_once(style, &genuine, &json(std::str::from_utf8(body).unwrap_or_default()));

    let longer = [body, b" "].concat();
    let flipped: Vec<u8> = body.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == 0)).collect();
    for changed in [longer, flipped].iter().filter(|changed| *changed != body) {
        let refused = verify(style, &Received { header: &header, body: changed }, keys, now());
        assert_eq!(refused, Err(Untrusted::WrongSignature), "another body is taken");
    }
}
