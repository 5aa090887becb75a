use super::*;

const KEY: &str = "it's a secret to everybody";
const NOW: i64 = 1_700_000_000;

fn now() -> Instant {
    Instant::from_micros(NOW * MICROS)
}

fn sign(key: &str, base: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(base);
    data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes())
}

struct Made {
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Made {
    fn verify(&self, style: WebhookStyle, keys: &[&str]) -> Result<Genuine, Untrusted> {
        let header = |name: &str| {
            self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
        };
        let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
        verify(style, &Received { header: &header, body: &self.body }, &keys, now())
    }

    fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }
}

fn call(style: WebhookStyle, at: i64, body: &[u8]) -> Made {
    let base = |before: String| [before.as_bytes(), body].concat();
    let headers = match style {
        WebhookStyle::Generic => vec![
            ("cauce-timestamp", at.to_string()),
            ("cauce-signature", format!("v1={}", sign(KEY, &base(format!("{at}."))))),
        ],
        WebhookStyle::Slack => vec![
            ("x-slack-request-timestamp", at.to_string()),
            ("x-slack-signature", format!("v0={}", sign(KEY, &base(format!("v0:{at}:"))))),
        ],
        WebhookStyle::Github => vec![
            ("x-hub-signature-256", format!("sha256={}", sign(KEY, body))),
            ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958".to_owned()),
            ("x-github-event", "push".to_owned()),
        ],
        WebhookStyle::Meta => vec![("x-hub-signature-256", format!("sha256={}", sign(KEY, body)))],
    };
    Made { headers, body: body.to_vec() }
}

const ALL: [WebhookStyle; 4] =
    [WebhookStyle::Generic, WebhookStyle::Github, WebhookStyle::Slack, WebhookStyle::Meta];

/// The signature header of a style.
fn signature(style: WebhookStyle) -> &'static str {
    match style {
        WebhookStyle::Generic => "cauce-signature",
        WebhookStyle::Slack => "x-slack-signature",
        WebhookStyle::Github | WebhookStyle::Meta => "x-hub-signature-256",
    }
}

/// The example of GitHub's own documentation.
/// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation>
#[test]
fn the_published_example_of_github_is_genuine() {
    let made = call(WebhookStyle::Github, 0, b"Hello, World!").set(
        "x-hub-signature-256",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    );
    assert!(made.verify(WebhookStyle::Github, &["It's a Secret to Everybody"]).is_ok());
}

/// The example of Slack's own documentation, whose moment has long passed: the signature is looked at first.
/// <https://docs.slack.dev/authentication/verifying-requests-from-slack>
#[test]
fn the_published_example_of_slack_is_signed_and_too_old() {
    let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
        &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let headers = vec![
        ("x-slack-request-timestamp", "1531420618".to_owned()),
        ("x-slack-signature", signature.to_owned()),
    ];
    let made = Made { headers, body: body.to_vec() };
    let key = "8f742231b10e8888abcd99yyyzzz85a5";
    assert_eq!(made.verify(WebhookStyle::Slack, &[key]), Err(Untrusted::Skewed));
    assert_eq!(made.verify(WebhookStyle::Slack, &["another"]), Err(Untrusted::WrongSignature));
}

#[test]
fn every_style_takes_its_own_signature_by_either_key_and_no_other() {
    for style in ALL {
        let made = call(style, NOW, b"{}");
        assert!(made.verify(style, &[KEY]).is_ok(), "{style:?}");
        assert!(made.verify(style, &["new", KEY]).is_ok(), "{style:?}");
        assert_eq!(made.verify(style, &["new"]), Err(Untrusted::WrongSignature), "{style:?}");
        assert_eq!(made.verify(style, &[]), Err(Untrusted::WrongSignature), "{style:?}");
        assert_eq!(made.verify(style, &[""]), Err(Untrusted::WrongSignature), "{style:?}");
        let other = Made { body: b"{ }".to_vec(), ..call(style, NOW, b"{}") };
        assert_eq!(other.verify(style, &[KEY]), Err(Untrusted::WrongSignature), "{style:?}");
        // Cut short, a signature is no better than none.
        let whole = sign(KEY, b"x");
        for bad in ["", "v1=", "v0=", "sha256=", "sha256=zz", &format!("sha1={whole}"), &whole] {
            let result = call(style, NOW, b"{}").set(signature(style), bad).verify(style, &[KEY]);
            assert!(
                matches!(result, Err(Untrusted::NoSignature | Untrusted::WrongSignature)),
                "{style:?} {bad}"
            );
        }
        let none = call(style, NOW, b"{}").without(signature(style)).verify(style, &[KEY]);
        assert_eq!(none, Err(Untrusted::NoSignature));
    }
}

#[test]
fn no_style_takes_the_signature_of_another() {
    for one in ALL {
        for other in ALL.into_iter().filter(|other| *other != one) {
            let same = matches!((one, other), (WebhookStyle::Github, WebhookStyle::Meta));
            assert_eq!(call(one, NOW, b"{}").verify(other, &[KEY]).is_ok(), same, "{one:?} as {other:?}");
        }
    }
}

#[test]
fn the_signed_moment_lies_within_five_minutes_either_way() {
    for style in [WebhookStyle::Generic, WebhookStyle::Slack] {
        for (seconds, taken) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
            let result = call(style, NOW + seconds, b"{}").verify(style, &[KEY]);
            let wanted = if taken { None } else { Some(Untrusted::Skewed) };
            assert_eq!(result.err(), wanted, "{style:?} {seconds}");
        }
        let stamp =
            if style == WebhookStyle::Slack { "x-slack-request-timestamp" } else { "cauce-timestamp" };
        // Another moment than the one that was signed.
        let moved = call(style, NOW, b"{}").set(stamp, (NOW + 1).to_string()).verify(style, &[KEY]);
        assert_eq!(moved, Err(Untrusted::WrongSignature));
        for bad in ["", "now", "-1", "1e9", "99999999999999999999", "+1700000000", " 1700000000"] {
            let result = call(style, NOW, b"{}").set(stamp, bad).verify(style, &[KEY]);
            assert_eq!(result, Err(Untrusted::NoTimestamp), "{bad}");
        }
    }
}

#[test]
fn a_repeat_has_the_same_identity_and_nothing_else_has() {
    for style in ALL {
        let one = call(style, NOW, b"{}").verify(style, &[KEY]).unwrap();
        assert_eq!(one.identity, call(style, NOW, b"{}").verify(style, &[KEY]).unwrap().identity);
        let other = match style {
            WebhookStyle::Github => call(style, NOW, b"{}").set("x-github-delivery", "another"),
            WebhookStyle::Meta => call(style, NOW, b"[]"),
            _ => call(style, NOW + 1, b"{}"),
        };
        assert_ne!(one.identity, other.verify(style, &[KEY]).unwrap().identity, "{style:?}");
    }
    let github = |delivery: &str| {
        call(WebhookStyle::Github, NOW, b"{}")
            .set("x-github-delivery", delivery)
            .verify(WebhookStyle::Github, &[KEY])
    };
    assert_eq!(github(""), Err(Untrusted::NoDelivery));
    assert_eq!(github(&"x".repeat(DELIVERY_MAX + 1)), Err(Untrusted::NoDelivery));
}

#[test]
fn senders_that_try_an_address_are_answered_at_once() {
    let slack = call(WebhookStyle::Slack, NOW, b"{}").verify(WebhookStyle::Slack, &[KEY]).unwrap();
    let body = json!({"type": "url_verification", "challenge": "3eZbrw1aB"});
    let wanted = Some(AtOnce::Challenge("3eZbrw1aB".to_owned()));
    assert_eq!(at_once(WebhookStyle::Slack, &slack, &body), wanted);
    assert_eq!(at_once(WebhookStyle::Generic, &slack, &body), None);
    let github = call(WebhookStyle::Github, NOW, b"{}").set("x-github-event", "ping");
    let github = github.verify(WebhookStyle::Github, &[KEY]).unwrap();
    assert_eq!(at_once(WebhookStyle::Github, &github, &json!({})), Some(AtOnce::Heard));
}

#[test]
fn meta_is_given_its_challenge_only_for_the_token_agreed_on() {
    let query = |mode: &str, token: &str| {
        [("hub.mode", mode), ("hub.verify_token", token), ("hub.challenge", "1158201444")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    assert_eq!(confirmed(&query("subscribe", "meatyhamhock"), "meatyhamhock"), Some("1158201444"));
    assert_eq!(confirmed(&query("subscribe", "meatyhamhoc"), "meatyhamhock"), None);
    assert_eq!(confirmed(&query("unsubscribe", "meatyhamhock"), "meatyhamhock"), None);
    assert_eq!(confirmed(&query("subscribe", ""), ""), None);
    assert_eq!(confirmed(&[], "meatyhamhock"), None);
}
