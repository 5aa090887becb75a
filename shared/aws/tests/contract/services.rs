//! Queues and tokens; and that no code of ours reads a whole table.

use crate::server::{Kind, Server, start};
use cauce_aws::machines::StepFunctions;
use cauce_aws::queues::{DeadLetters, QueueNotifier, REASON};
use cauce_model::Instant;
use cauce_model::record::Notice;
use cauce_ports::{Answer, Answered, ExecutionStatus, Notifier, Started, StateMachineError, StateMachines};
use serde_json::json;

fn notice() -> Notice {
    Notice {
        id: "n-1".into(),
        channel: "alerts".into(),
        event: "failed".into(),
        subject: "the run failed".into(),
        message: "exit code 3".into(),
        run: "sales/1997-01-05".into(),
        task: None,
        at: Instant::from_micros(0),
    }
}

async fn queues_keep_what_they_are_given(server: &Server) {
    let client = aws_sdk_sqs::Client::new(&server.sdk().await);
    let url = client.create_queue().queue_name("notices").send().await.unwrap().queue_url.unwrap();
    let connection = server.connection().await;
    QueueNotifier::new(&connection, &url).deliver(&notice()).await.unwrap();
    let read = client.receive_message().queue_url(&url).send().await.unwrap();
    let body = read.messages()[0].body().unwrap();
    assert_eq!(serde_json::from_str::<Notice>(body).unwrap(), notice());
    let dead = client.create_queue().queue_name("dead").send().await.unwrap().queue_url.unwrap();
    DeadLetters::new(&connection, &dead).put("poison", "no such pipeline").await.unwrap();
    let read = client.receive_message().queue_url(&dead).message_attribute_names("All").send().await.unwrap();
    let letter = &read.messages()[0];
    let reason = letter.message_attributes().unwrap()[REASON].string_value();
    assert_eq!((letter.body(), reason), (Some("poison"), Some("no such pipeline")));
    let gone = QueueNotifier::new(&connection, format!("{url}-gone")).deliver(&notice()).await;
    assert!(!gone.unwrap_err().retryable());
}

#[tokio::test]
async fn queues_on_moto() {
    if let Some(server) = start(Kind::Moto) {
        queues_keep_what_they_are_given(&server).await;
    }
}

#[tokio::test]
async fn queues_and_machines_on_ministack() {
    let Some(server) = start(Kind::Ministack) else { return };
    queues_keep_what_they_are_given(&server).await;
    let client = aws_sdk_sfn::Client::new(&server.sdk().await);
    let definition =
        json!({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": true}}});
    let made = client
        .create_state_machine()
        .name("waits")
        .definition(definition.to_string())
        .role_arn("arn:aws:iam::000000000000:role/none")
        .send()
        .await
        .unwrap();
    let machine = made.state_machine_arn;
    let machines = StepFunctions::new(&server.connection().await);
    let input = json!({"n": 1});
    assert_eq!(machines.describe(&machine, "r-g1").await, Ok(None));
    assert_eq!(machines.start(&machine, "r-g1", &input).await, Ok(Started::Started));
    let described = machines.describe(&machine, "r-g1").await.unwrap().unwrap();
    assert_eq!((described.status, &described.input), (ExecutionStatus::Running, &input));
    assert_eq!(machines.start(&machine, "r-g1", &input).await, Ok(Started::Started), "a repeat");
    let other = machines.start(&machine, "r-g1", &json!({"n": 2})).await;
    assert_eq!(other, Ok(Started::NameTaken));
    machines.stop(&machine, "r-g1", "Cancelled", "by hand").await.unwrap();
    let described = machines.describe(&machine, "r-g1").await.unwrap().unwrap();
    assert_eq!(described.status, ExecutionStatus::Aborted);
    machines.stop(&machine, "never-g1", "Cancelled", "by hand").await.unwrap();
    let closed = machines.answer("nobody waits", &Answer::Success(json!({}))).await;
    assert_eq!(closed, Ok(Answered::TokenClosed));
    let missing = machines.start(&format!("{machine}-gone"), "r", &input).await.unwrap_err();
    assert!(matches!(missing, StateMachineError::NoMachine(_)), "{missing:?}");
}

#[test]
fn nothing_reads_a_whole_table() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/table");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains(".scan(") && !text.contains("execute_statement"), "a scan");
        read += usize::from(text.contains(".query()"));
    }
    assert_eq!(read, 1, "the one place that queries was read");
}
