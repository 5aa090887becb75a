//! What queues, buckets, schedules and services tell our functions.

use cauce_driver::{observed, payload};
use cauce_engine::Command;
use cauce_engine::classify;
use cauce_engine::command::Event;
use serde_json::Value;

/// JSON that is all of it at once: an event that starts runs, a status event, a payload of a state, a
/// stopped task.
pub(crate) fn event(input: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Value>(input) else { return };
    starting(&event);
    ending(&event);
    for (_, function) in payload::FUNCTIONS {
        said(payload::command(function, &event));
    }
    said(payload::deployment(&event));
    said(payload::pools(&event));
    stopped(&event);
}

/// The same again, and a reason where it is refused.
fn said(read: Result<Command, payload::PayloadError>) {
    if let Err(error) = read {
        assert!(!error.to_string().is_empty());
    }
}

fn starting(event: &Value) {
    let read = payload::event(event);
    assert_eq!(read, payload::event(event), "two readings differ");
    let Ok(Command::Event(read)) = read else { return };
    match &*read {
        Event::Object(object) => {
            // What tells arrivals apart does not change by being stored.
            let stored = serde_json::to_value(object).unwrap_or_else(|error| panic!("{error}"));
            let again: cauce_model::event::Object =
                serde_json::from_value(stored).unwrap_or_else(|error| panic!("{error}: {object:?}"));
            assert_eq!(&again, object);
            assert_eq!(again.identity(), object.identity());
            assert_eq!(object.key.as_str(), event["detail"]["object"]["key"].as_str().unwrap_or_default());
        }
        posted @ (Event::Dataset { .. } | Event::Consumer { .. }) => {
            let again = payload::posted(posted).map(|posted| payload::event(&posted));
            assert_eq!(again, Some(Ok(Command::Event(read))), "what is posted is read again");
        }
        Event::Tick { .. } | Event::Webhook(_) => {}
    }
}

fn ending(event: &Value) {
    let read = observed::command(event, "cauce-dev");
    assert_eq!(read, observed::command(event, "cauce-dev"), "two readings differ");
    match read {
        Ok(Some(Command::Observed(_))) | Ok(None) => {}
        Ok(Some(other)) => panic!("a status event is {other:?}"),
        Err(error) => assert!(!error.field.is_empty()),
    }
    // Of another environment nothing is ours but programs, which say nothing of their environment.
    if event["detail-type"] == observed::EXECUTION_EVENT
        && let Ok(found) = observed::command(event, "no such prefix")
    {
        assert_eq!(found, None);
    }
}

/// A failure is always of some class, and always has words.
fn stopped(event: &Value) {
    let cause = event.to_string();
    for error in ["States.TaskFailed", "AmazonECS.Unknown", "States.Timeout", "ECS.ClientException", "x"] {
        let failure = classify::failure(error, &cause);
        assert!(!failure.message.is_empty(), "{error}: {cause}");
        assert_eq!(failure, classify::failure(error, &cause), "two classifications differ");
    }
    if let Some(error) = event["error"].as_str() {
        classify::failure(error, event["cause"].as_str().unwrap_or_default());
    }
    if let Some(failure) = classify::stopped(event) {
        assert!(failure.exit_code != Some(0) || !failure.message.is_empty(), "{failure:?}");
    }
}
