//! `{limit, tokens, within_seconds}`, from `cauce-run`.

use cauce_driver::payload;
use cauce_lambda::{Failure, Function, answer};
use serde_json::Value as Json;

pub(crate) async fn handle(function: &Function, event: Json) -> Result<Json, Failure> {
    let command = payload::command("take-tokens", &event)?;
    answer(function.execute(&command).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_commands_and_bad_ones_are_refused_by_name() {
        for (name, event) in cauce_testkit::fixtures(concat!(env!("CARGO_MANIFEST_DIR"), "/events")) {
            let read = payload::command("take-tokens", &event);
            assert_eq!(read.is_err(), name.starts_with("bad-"), "{name}: {read:?}");
        }
    }
}
