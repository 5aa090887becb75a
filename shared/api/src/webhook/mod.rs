//! Is a call signed by who holds the key, and is it of now? Pure: headers, raw body, keys and the present
//! moment go in.
//!
//! Nothing of the body is read before its signature is known to be right. Digests are compared in constant
//! time, and every key is tried, so that the time taken says nothing about them.
//!
//! What each sender signs, by its own documentation:
//! - generic: ours. `cauce-timestamp` (seconds since 1970) and `cauce-signature: v1=<hex>` over
//!   `<timestamp>.<body>`.
//! - GitHub: `x-hub-signature-256: sha256=<hex>` over the body; no moment. A repeat is told by
//!   `x-github-delivery`, which a redelivery keeps and which is not signed.
//!   <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>,
//!   <https://docs.github.com/en/webhooks/using-webhooks/best-practices-for-using-webhooks>
//! - Slack: `x-slack-signature: v0=<hex>` over `v0:<timestamp>:<body>` with `x-slack-request-timestamp`.
//!   <https://docs.slack.dev/authentication/verifying-requests-from-slack>
//! - Meta: `x-hub-signature-256: sha256=<hex>` over the body with the app's secret; no moment, no delivery
//!   id: the body itself tells a repeat. It escapes what is not ASCII before it signs, and sends it so.
//!   <https://developers.facebook.com/docs/graph-api/webhooks/getting-started>

use cauce_model::ids::sha256_hex;
use cauce_model::time::MICROS;
use cauce_model::webhook::WebhookStyle;
use cauce_model::{Instant, Json};
use data_encoding::HEXLOWER_PERMISSIVE;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

/// How far the signed moment may lie from ours, in seconds.
pub const WINDOW_SECONDS: i64 = 300;

/// A call as it came: headers by lower-case name, the raw body.
pub struct Received<'a> {
    /// A header's text.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The bytes that were signed.
    pub body: &'a [u8],
}

/// A call that is who it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Genuine {
    /// What tells it from every other call of this webhook.
    pub identity: String,
    /// The signed moment; that of arrival where none is signed.
    pub at: Instant,
    /// The sender's name of the delivery, where it gives one.
    pub delivery: Option<String>,
    /// What the sender says happened, where a header does: `push`, `ping`.
    pub event: Option<String>,
}

/// Why a call is not taken. None of them says which part of a signature was wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Untrusted {
    /// No signature came, or one of another shape.
    NoSignature,
    /// No moment came, or one that is no number of seconds.
    NoTimestamp,
    /// The signed moment is too far from ours, either way.
    Skewed,
    /// The signature is not one of this body by any of the keys.
    WrongSignature,
    /// The sender's name of the delivery is missing.
    NoDelivery,
}

impl Untrusted {
    /// In words, for the ledger and the caller.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoSignature => "the call is not signed as this webhook wants it",
            Self::NoTimestamp => "the call says no moment at which it was signed",
            Self::Skewed => "the call was signed more than five minutes from now",
            Self::WrongSignature => "the signature is not one of this body by the webhook's key",
            Self::NoDelivery => "the call does not say which delivery it is",
        }
    }

    /// How to mend it.
    pub const fn help(self) -> &'static str {
        match self {
            Self::NoSignature => "docs/api.md shows how each style signs, with openssl",
            Self::NoTimestamp => "send the moment of signing as seconds since 1970",
            Self::Skewed => "set the sender's clock, and sign each call when it is sent",
            Self::WrongSignature => "sign the raw body with the secret that the webhook's key names",
            Self::NoDelivery => "send x-github-delivery, as GitHub does",
        }
    }
}

/// Longest name of a delivery that is kept.
const DELIVERY_MAX: usize = 128;

/// Checks a call.
///
/// # Errors
/// It is not to be trusted.
pub fn verify(
    style: WebhookStyle,
    received: &Received<'_>,
    keys: &[String],
    now: Instant,
) -> Result<Genuine, Untrusted> {
    let header = |name| (received.header)(name);
    let digest = sha256_hex(received.body);
    let (signature, prefix, signed_at) = match style {
        WebhookStyle::Generic => (header("cauce-signature"), "v1=", Some(header("cauce-timestamp"))),
        WebhookStyle::Slack => {
            (header("x-slack-signature"), "v0=", Some(header("x-slack-request-timestamp")))
        }
        WebhookStyle::Github | WebhookStyle::Meta => (header("x-hub-signature-256"), "sha256=", None),
    };
    let signature = signature.and_then(|text| text.strip_prefix(prefix));
    let signature = signature.and_then(|hex| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok());
    let signature = signature.ok_or(Untrusted::NoSignature)?;
    let at = match signed_at {
        None => now,
        Some(text) => {
            let text = text.filter(|text| text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit()));
            let seconds: i64 = text.and_then(|text| text.parse().ok()).ok_or(Untrusted::NoTimestamp)?;
            Instant::from_micros(seconds.saturating_mul(MICROS))
        }
    };
    let stamp = signed_at.flatten().unwrap_or_default();
    let base: Vec<&[u8]> = match style {
        WebhookStyle::Generic => vec![stamp.as_bytes(), b".", received.body],
        WebhookStyle::Slack => vec![b"v0:", stamp.as_bytes(), b":", received.body],
        WebhookStyle::Github | WebhookStyle::Meta => vec![received.body],
    };
    // The signature first: whoever has no key learns nothing of our clock.
    if !signed_by_any(keys, &base, &signature) {
        return Err(Untrusted::WrongSignature);
    }
    if at.micros_since(now).abs() > WINDOW_SECONDS * MICROS {
        return Err(Untrusted::Skewed);
    }
    let delivery = match style {
        WebhookStyle::Github => {
            let delivery =
                header("x-github-delivery").filter(|id| !id.is_empty() && id.len() <= DELIVERY_MAX);
            Some(delivery.ok_or(Untrusted::NoDelivery)?.to_owned())
        }
        _ => None,
    };
    let event = match style {
        WebhookStyle::Github => header("x-github-event").map(str::to_owned),
        _ => None,
    };
    let which = match &delivery {
        Some(delivery) => json!([style.as_str(), delivery]),
        None => json!([style.as_str(), stamp, digest]),
    };
    Ok(Genuine { identity: sha256_hex(which.to_string()), at, delivery, event })
}

/// Whether one of the keys signed this.
fn signed_by_any(keys: &[String], base: &[&[u8]], signature: &[u8]) -> bool {
    let mut signed = false;
    for key in keys.iter().filter(|key| !key.is_empty()) {
        // Any length of key will do for an HMAC.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { continue };
        for part in base {
            mac.update(part);
        }
        signed |= mac.verify_slice(signature).is_ok();
    }
    signed
}

/// What is said to a genuine call at once, without a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AtOnce {
    /// This text, which proves that the address is ours.
    Challenge(String),
    /// That it was heard: the sender only tries the address.
    Heard,
}

/// Longest challenge that is said back.
const CHALLENGE_MAX: usize = 512;

/// Whether a genuine call is one that senders try an address with.
/// <https://docs.slack.dev/reference/events/url_verification>,
/// <https://docs.github.com/en/webhooks/webhook-events-and-payloads#ping>
pub fn at_once(style: WebhookStyle, genuine: &Genuine, body: &Json) -> Option<AtOnce> {
    match style {
        WebhookStyle::Slack if body["type"] == "url_verification" => {
            let challenge = body["challenge"].as_str().filter(|text| text.len() <= CHALLENGE_MAX);
            challenge.map(|text| AtOnce::Challenge(text.to_owned()))
        }
        WebhookStyle::Github if genuine.event.as_deref() == Some("ping") => Some(AtOnce::Heard),
        _ => None,
    }
}

/// The challenge of a request that confirms an address, when it holds the token that was agreed on.
pub fn confirmed<'a>(query: &'a [(String, String)], token: &str) -> Option<&'a str> {
    let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let given = value("hub.verify_token").unwrap_or_default();
    let same = !token.is_empty() && same_secret(given, token);
    let subscribes = value("hub.mode") == Some("subscribe");
    value("hub.challenge").filter(|text| same && subscribes && text.len() <= CHALLENGE_MAX)
}

/// Whether two texts are the same, in a time that does not tell where they differ: their digests are compared.
pub(crate) fn same_secret(one: &str, other: &str) -> bool {
    use sha2::Digest;
    use subtle::ConstantTimeEq;
    Sha256::digest(one).as_slice().ct_eq(Sha256::digest(other).as_slice()).into()
}

#[cfg(test)]
mod tests;
