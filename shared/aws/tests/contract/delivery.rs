//! Notices on their last stretch, by every kind of channel: delivered, refused, to be tried later. And
//! that nobody ever reads a secret's value.

use crate::post::{Came, listen, nobody};
use crate::server::{Kind, Server, start};
use cauce_aws::Connection;
use cauce_aws::delivery::{Channel, Channels, Delivery, EVENT_DETAIL_TYPE, EVENT_SOURCE};
use cauce_model::Instant;
use cauce_model::record::Notice;
use cauce_ports::NotifyError;
use serde_json::{Value as Json, json};
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// Not to be found in any error or log.
const SECRET: &str = "hunter2-Zq81";

fn notice() -> Notice {
    Notice {
        id: "n-1".into(),
        channel: "it".into(),
        event: "failed".into(),
        subject: "the run failed".into(),
        message: "exit code 3".into(),
        run: "sales/1997-01-05".into(),
        task: Some("extract".into()),
        at: Instant::from_micros(0),
    }
}

async fn deliver(delivery: &Delivery, channel: Json) -> Result<(), NotifyError> {
    let channel: Channel = serde_json::from_value(channel).unwrap();
    let channels: Channels = [("it".to_owned(), channel)].into_iter().collect();
    delivery.deliver(&channels, &notice()).await
}

/// How a delivery ended, in one word.
fn word(outcome: &Result<(), NotifyError>) -> &'static str {
    match outcome {
        Ok(()) => "delivered",
        Err(error) if error.retryable() => "later",
        Err(_) => "refused",
    }
}

async fn queue(server: &Server, name: &str) -> (aws_sdk_sqs::Client, String, String) {
    let client = aws_sdk_sqs::Client::new(&server.sdk().await);
    let url = client.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap();
    (client, url, format!("arn:aws:sqs:us-east-1:000000000000:{name}"))
}

/// The one message of a queue.
async fn message(client: &aws_sdk_sqs::Client, url: &str) -> Json {
    let read = client.receive_message().queue_url(url).wait_time_seconds(10).send().await.unwrap();
    serde_json::from_str(read.messages()[0].body().unwrap()).unwrap()
}

/// SES, SNS and EventBridge: what each does with a notice, a refusal, and an overload.
#[tokio::test]
async fn services_take_notices() {
    let Some(server) = start(Kind::Ministack) else { return };
    let config = server.sdk().await;
    let delivery = Delivery::new(&server.connection().await);

    let mail = aws_sdk_sesv2::Client::new(&config);
    mail.create_email_identity().email_identity("cauce@x.example").send().await.unwrap();
    let email = json!({"email": {"from": "cauce@x.example", "to": ["ana@x.example", "luis@x.example"]}});
    assert_eq!(deliver(&delivery, email.clone()).await, Ok(()));
    let sent = server.get("/_ministack/ses/messages");
    assert!(sent.contains("the run failed") && sent.contains("exit code 3"), "{sent}");
    assert!(sent.contains("ana@x.example") && sent.contains("luis@x.example"), "{sent}");

    let topics = aws_sdk_sns::Client::new(&config);
    let topic = topics.create_topic().name("alerts").send().await.unwrap().topic_arn.unwrap();
    let (queues, url, arn) = queue(&server, "from-topic").await;
    topics.subscribe().topic_arn(&topic).protocol("sqs").endpoint(arn).send().await.unwrap();
    let sns = json!({"sns": {"topic": topic}});
    assert_eq!(deliver(&delivery, sns.clone()).await, Ok(()));
    let published = message(&queues, &url).await;
    assert!(published["Subject"].as_str().unwrap().contains("the run failed"), "{published}");
    assert!(published["Message"].as_str().unwrap().contains("exit code 3"), "{published}");
    let gone = deliver(&delivery, json!({"sns": {"topic": format!("{topic}-gone")}})).await;
    assert_eq!(word(&gone), "refused", "{gone:?}");

    let events = aws_sdk_eventbridge::Client::new(&config);
    events.create_event_bus().name("ours").send().await.unwrap();
    let (queues, url, arn) = queue(&server, "from-bus").await;
    let pattern = json!({"source": [EVENT_SOURCE], "detail-type": [EVENT_DETAIL_TYPE]});
    let rule = events.put_rule().name("all").event_bus_name("ours").event_pattern(pattern.to_string());
    rule.send().await.unwrap();
    let target = aws_sdk_eventbridge::types::Target::builder().id("1").arn(arn).build().unwrap();
    events.put_targets().rule("all").event_bus_name("ours").targets(target).send().await.unwrap();
    let bus = json!({"eventbridge": {"bus": "ours"}});
    assert_eq!(deliver(&delivery, bus.clone()).await, Ok(()));
    let event = message(&queues, &url).await;
    assert_eq!(serde_json::from_value::<Notice>(event["detail"].clone()).unwrap(), notice());

    for (channel, operation, refusal) in [
        (email, "SendEmail", "MessageRejected"),
        (sns, "Publish", "AuthorizationErrorException"),
        (bus, "PutEvents", "AccessDeniedException"),
    ] {
        server.fail(operation, 1, refusal, 400);
        let refused = deliver(&delivery, channel.clone()).await;
        assert_eq!(word(&refused), "refused", "{operation}: {refused:?}");
        assert!(refused.unwrap_err().to_string().contains("channel 'it' refused"), "{operation}");
        // Tried again by the client itself, until it gives up.
        server.fail(operation, 3, "ThrottlingException", 400);
        let late = deliver(&delivery, channel.clone()).await;
        assert_eq!(word(&late), "later", "{operation}: {late:?}");
        server.fail(operation, 2, "ThrottlingException", 400);
        assert_eq!(deliver(&delivery, channel.clone()).await, Ok(()), "{operation}");
        server.fail(operation, 3, "InternalFailure", 500);
        let broken = deliver(&delivery, channel).await;
        assert_eq!(word(&broken), "later", "{operation}: {broken:?}");
    }
    let unknown = delivery.deliver(&Channels::default(), &notice()).await;
    assert_eq!(unknown, Err(NotifyError::NoChannel("it".into())));
    let file = deliver(&delivery, json!({"file": {"path": "/srv/notices"}})).await;
    assert_eq!(word(&file), "refused", "{file:?}");
}

/// What no emulator does: a bus that takes the call and not its event.
#[tokio::test]
async fn an_event_that_its_bus_did_not_take_is_told() {
    let answer = |code: &str| {
        let entry = json!({"ErrorCode": code, "ErrorMessage": "no"});
        (200, json!({"FailedEntryCount": 1, "Entries": [entry]}).to_string())
    };
    let answers = ["InternalFailure", "ThrottlingException", "NotAuthorizedForSourceException"].map(answer);
    let (endpoint, came) = listen(answers.to_vec());
    let delivery = Delivery::new(&at(&endpoint).await);
    let mut words = Vec::new();
    for _ in 0..3 {
        words.push(word(&deliver(&delivery, json!({"eventbridge": {}})).await));
    }
    assert_eq!(words, ["later", "later", "refused"]);
    assert_eq!(came.try_iter().count(), 3);
}

/// A connection to this address.
async fn at(endpoint: &str) -> Connection {
    let connect = cauce_aws::Connect {
        region: Some("us-east-1".to_owned()),
        profile: None,
        endpoint: Some(endpoint.to_owned()),
        keys: Some(("test".to_owned(), "test".to_owned())),
    };
    Connection::open(connect).await.unwrap()
}

#[tokio::test]
async fn posts_are_taken_refused_or_tried_later_by_their_status() {
    let statuses = [200, 204, 301, 400, 403, 404, 408, 410, 425, 429, 500, 503];
    let (address, came) = listen(statuses.map(|status| (status, "says why".to_owned())).to_vec());
    let delivery = Delivery::new(&at("http://127.0.0.1:9").await);
    let mut words = Vec::new();
    let headers = json!({"X-Team": "data"});
    for status in statuses {
        let outcome = deliver(&delivery, json!({"http": {"url": address, "headers": headers}})).await;
        words.push(word(&outcome));
        if let Err(error) = outcome {
            assert!(error.to_string().contains(&format!("{status} says why")), "{error}");
        }
    }
    let wanted =
        ["delivered", "delivered", "refused", "refused", "refused", "refused", "later", "refused", "later"];
    assert_eq!(words[..9], wanted);
    assert_eq!(words[9..], ["later"; 3]);
    let Came { head, body } = came.recv().unwrap();
    assert!(head.starts_with("POST / HTTP/1.1\r\n") && head.contains("x-team: data\r\n"), "{head}");
    assert!(head.contains("idempotency-key: n-1\r\n"), "{head}");
    assert_eq!(serde_json::from_str::<Notice>(&body).unwrap(), notice());
    let nobody = deliver(&delivery, json!({"http": {"url": nobody()}})).await;
    assert_eq!(word(&nobody), "later", "{nobody:?}");
    let wrong = deliver(&delivery, json!({"http": {"url": "ftp://x.example"}})).await;
    assert_eq!(word(&wrong), "refused", "{wrong:?}");
}

#[tokio::test]
async fn webhooks_get_their_own_words() {
    let (address, came) = listen(vec![(200, String::new()); 2]);
    let delivery = Delivery::new(&at("http://127.0.0.1:9").await);
    assert_eq!(deliver(&delivery, json!({"slack": {"webhook": address}})).await, Ok(()));
    assert_eq!(deliver(&delivery, json!({"teams": {"webhook": address}})).await, Ok(()));
    for Came { body, .. } in came.iter().take(2) {
        let body: Json = serde_json::from_str(&body).unwrap();
        assert!(body.to_string().contains("the run failed"), "{body}");
    }
}

/// All that anybody logs, at the most talkative level.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn secrets_are_used_and_never_shown() {
    let Some(server) = start(Kind::Ministack) else { return };
    let lines = Lines::default();
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(lines.clone());
    let _log = tracing::subscriber::set_default(log.finish());
    let echo = format!("no such token: {SECRET}");
    let (address, came) =
        listen(vec![(200, String::new()), (403, echo.clone()), (503, echo.clone()), (403, echo)]);
    let (secrets, delivery) =
        (aws_sdk_secretsmanager::Client::new(&server.sdk().await), Delivery::new(&server.connection().await));
    let told = [
        ("hook", json!({"token": format!("Bearer {SECRET}"), "url": address, "n": 1}).to_string()),
        ("team/plain", format!("{address}/{SECRET}")),
        ("closed", format!("{}/{SECRET}", nobody())),
        ("odd", format!("gopher://{SECRET}")),
        ("broken", format!("{SECRET}\nx: y")),
    ];
    for (name, value) in told {
        secrets.create_secret().name(name).secret_string(value).send().await.unwrap();
    }
    let bytes = aws_sdk_secretsmanager::primitives::Blob::new(SECRET);
    secrets.create_secret().name("bytes").secret_binary(bytes).send().await.unwrap();
    // The test's own calls carry the values; what counts is what follows.
    lines.0.lock().unwrap().clear();

    let hook = json!({"http": {"url": "secret:hook/url", "headers": {"Authorization": "secret:hook/token"}}});
    let mut outcomes = vec![
        ("taken", deliver(&delivery, hook.clone()).await, "delivered"),
        ("refused with its value", deliver(&delivery, hook.clone()).await, "refused"),
        ("broken with its value", deliver(&delivery, hook).await, "later"),
    ];
    for (name, webhook, wanted) in [
        ("a name with a slash", "secret:team/plain", "refused"),
        ("nobody listens", "secret:closed", "later"),
        ("no address", "secret:odd", "refused"),
        ("no text under the key", "secret:hook/n", "refused"),
        ("no such key", "secret:hook/none", "refused"),
        ("no such secret", "secret:none", "refused"),
        ("bytes", "secret:bytes", "refused"),
    ] {
        outcomes.push((name, deliver(&delivery, json!({"slack": {"webhook": webhook}})).await, wanted));
    }
    let header = json!({"http": {"url": address, "headers": {"Authorization": "secret:broken"}}});
    outcomes.push(("no header", deliver(&delivery, header).await, "refused"));

    assert!(came.recv().unwrap().head.contains(&format!("authorization: Bearer {SECRET}\r\n")), "it is used");
    for (name, outcome, wanted) in &outcomes {
        assert_eq!(word(outcome), *wanted, "{name}: {outcome:?}");
        let text = outcome.as_ref().err().map(|error| format!("{error} {error:?}")).unwrap_or_default();
        assert!(!text.contains(SECRET), "{name}: {text}");
    }
    let text = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
    assert!(text.contains("GetSecretValue"), "the clients talk");
    let shown = text.lines().find(|line| line.contains(SECRET));
    assert_eq!(shown, None, "a value is in the log");
}

#[tokio::test]
async fn secrets_that_cannot_be_read_now_are_read_later_and_then_kept() {
    let Some(server) = start(Kind::Ministack) else { return };
    let (address, _came) = listen(vec![(200, String::new()); 2]);
    let secrets = aws_sdk_secretsmanager::Client::new(&server.sdk().await);
    secrets.create_secret().name("hook").secret_string(address).send().await.unwrap();
    let delivery = Delivery::new(&server.connection().await);
    let slack = json!({"slack": {"webhook": "secret:hook"}});
    server.fail("GetSecretValue", 3, "ThrottlingException", 400);
    assert_eq!(word(&deliver(&delivery, slack.clone()).await), "later");
    server.fail("GetSecretValue", 1, "AccessDeniedException", 400);
    let denied = deliver(&delivery, slack.clone()).await;
    assert_eq!(word(&denied), "refused", "{denied:?}");
    assert!(denied.unwrap_err().to_string().contains("secret:hook"), "the reference is named");
    assert_eq!(deliver(&delivery, slack.clone()).await, Ok(()));
    // It is not asked for again within minutes.
    server.fail("GetSecretValue", 1, "AccessDeniedException", 400);
    assert_eq!(deliver(&delivery, slack).await, Ok(()));
}
