//! Log lines: JSON, one per thing worth telling, each with the ids that join it to its run.
//!
//! Inputs and outputs are never written: they may hold what nobody should read in a log. Ids, names
//! and counts are.

use crate::Failure;
use cauce_aws::table::Units;
use cauce_model::Json;
use tracing::{Level, Span, field};
use tracing_subscriber::fmt::MakeWriter;

/// Reads `CAUCE_LOG`. What is unknown tells much, since silence would hide the mistake.
fn level(text: &str) -> Level {
    text.parse().unwrap_or(Level::INFO)
}

/// Writes lines of this level and above from now on, to where Lambda collects them.
pub(crate) fn start(text: &str) {
    let subscriber = subscriber(level(text), std::io::stdout);
    // Set once per process; a second time would be a second program in it.
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        tracing::warn!("the log was set up twice");
    }
}

fn subscriber<W>(level: Level, writer: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_target(false)
        .with_max_level(level)
        .with_writer(writer)
        .finish()
}

/// What every line of one invocation carries.
pub(crate) fn invocation(function: &'static str, request_id: &str, event: &Json) -> Span {
    let span = tracing::info_span!(
        "invocation",
        function,
        request_id,
        run_key = field::Empty,
        generation = field::Empty,
        task = field::Empty,
        index = field::Empty,
    );
    for id in ["run_key", "task"] {
        if let Some(text) = event.get(id).and_then(Json::as_str) {
            span.record(id, text);
        }
    }
    for number in ["generation", "index"] {
        if let Some(value) = event.get(number).and_then(Json::as_u64) {
            span.record(number, value);
        }
    }
    span
}

/// The last line of an invocation: how it ended, and what it consumed of the table, which is what its
/// decisions cost besides its own time.
pub(crate) fn ended(outcome: &Result<Json, Failure>, units: Units) {
    let Units { read, written } = units;
    match outcome {
        Ok(_) => tracing::info!(read_units = read, write_units = written, "answered"),
        Err(failure) if failure.retryable => tracing::warn!(
            error = failure.name,
            read_units = read,
            write_units = written,
            "{}",
            failure.message
        ),
        // A decision that says no by its name has done what it was asked for.
        Err(failure) => tracing::info!(
            error = failure.name,
            read_units = read,
            write_units = written,
            "answered by a name"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn read(&self) -> (String, Vec<Json>) {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            let told = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            (text, told)
        }
    }

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

    #[test]
    fn lines_carry_the_ids_of_their_invocation_and_nothing_of_its_values() {
        let lines = Lines::default();
        tracing::subscriber::with_default(subscriber(Level::INFO, lines.clone()), || {
            let event = json!({"run_key": "k1", "generation": 2, "task": "load", "index": null,
                               "token": "secret", "input": {"a": "secret"}});
            let span = invocation("begin-task", "r-1", &event);
            span.in_scope(|| tracing::info!(writes = 1, "decided"));
            tracing::debug!("not told");
        });
        let (text, told) = lines.read();
        assert_eq!(told.len(), 1, "{text}");
        assert_eq!(told[0]["message"], "decided");
        assert_eq!(told[0]["writes"], 1);
        let wanted = json!({"name": "invocation", "function": "begin-task", "request_id": "r-1",
                            "run_key": "k1", "generation": 2, "task": "load"});
        assert_eq!(told[0]["span"], wanted);
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn every_invocation_ends_with_what_it_consumed() {
        let lines = Lines::default();
        let units = Units { read: 2.5, written: 8.0 };
        tracing::subscriber::with_default(subscriber(Level::INFO, lines.clone()), || {
            ended(&Ok(json!({"answer": "secret"})), units);
            ended(&Err(Failure::unavailable("the store could not be used")), units);
            ended(&Err(Failure::poison("not JSON: secret")), units);
        });
        let (text, told) = lines.read();
        let said: Vec<(&str, &Json, &str)> = told
            .iter()
            .map(|line| (line["level"].as_str().unwrap(), &line["error"], line["message"].as_str().unwrap()))
            .collect();
        let wanted = [
            ("INFO", &Json::Null, "answered"),
            ("WARN", &json!("Cauce.Unavailable"), "the store could not be used"),
            ("INFO", &json!("Cauce.BadEvent"), "answered by a name"),
        ];
        assert_eq!(said, wanted);
        for line in &told {
            assert_eq!((&line["read_units"], &line["write_units"]), (&json!(2.5), &json!(8.0)));
        }
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn an_unknown_level_tells_much() {
        assert_eq!(level("chatty"), Level::INFO);
        assert_eq!(level("warn"), Level::WARN);
    }
}
