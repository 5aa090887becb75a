//! How attempts of containers are judged, by what `ecs:runTask.sync` was recorded to answer on AWS, and by
//! thousands of answers that are nearly so: fields missing, null, empty, renamed, of other types.

use crate::case;
use cauce_engine::classify;
use cauce_model::FailureClass;
use cauce_testkit::prng::Prng;
use serde_json::{Value as Json, json};

/// The recorded answers: of a program that ended well, and of a task that never started.
fn recorded() -> Option<(Json, Json)> {
    let file = case::folder()?.parent()?.join("events/ecs_runTask_sync.snapshot.json");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let all: Json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    let find = |pointer: &str| {
        let histories = all.as_object().into_iter().flat_map(|all| all.values());
        let mut events = histories
            .flat_map(|one| one["recorded-content"]["get_execution_history"]["events"].as_array())
            .flatten();
        events.find_map(|event| event.pointer(pointer).cloned())
    };
    Some((find("/taskSucceededEventDetails/output")?, find("/taskFailedEventDetails/cause")?))
}

#[test]
fn recorded_ends_of_containers_are_judged_as_they_were() {
    let Some((good, bad)) = recorded() else {
        println!("skipped: needs ../shared/conformance");
        return;
    };
    assert_eq!(classify::container(&good), None);
    let failure = classify::failure("States.TaskFailed", &bad.to_string());
    assert_eq!((failure.class, failure.exit_code), (FailureClass::ImageMissing, None));
    assert!(failure.message.starts_with("CannotPullContainerError"), "{}", failure.message);
}

/// One of many ways in which an answer may be another one than was recorded.
fn disturb(value: &mut Json, prng: &mut Prng) {
    match value {
        Json::Object(fields) => {
            for key in fields.keys().cloned().collect::<Vec<_>>() {
                match prng.below(24) {
                    0 => drop(fields.remove(&key)),
                    1 => drop(fields.insert(key, Json::Null)),
                    2 => {
                        let renamed = format!("{}{}", key[..1].to_lowercase(), &key[1..]);
                        let own = fields.remove(&key).unwrap_or_default();
                        fields.insert(renamed, own);
                    }
                    _ => disturb(&mut fields[&key], prng),
                }
            }
        }
        Json::Array(items) => {
            match prng.below(12) {
                0 => items.clear(),
                1 => items.extend(items.clone()),
                2 => items.push(json!({"Name": "cauce", "ExitCode": 0})),
                3 => items.push(json!({"Name": "task", "ExitCode": prng.below(3)})),
                _ => {}
            }
            for item in items {
                disturb(item, prng);
            }
        }
        Json::String(text) if prng.below(8) == 0 => {
            let words =
                ["", "SpotInterruption", "TaskFailedToStart", "Añadido", "OutOfMemoryError", "0", "task"];
            *text = words[prng.below(words.len() as u64) as usize].to_owned();
        }
        Json::Number(_) if prng.below(3) == 0 => {
            let others = [
                json!(0),
                json!(1),
                json!(137),
                json!(-1),
                json!("0"),
                json!(0.5),
                Json::Null,
                json!(i64::MAX),
            ];
            *value = others[prng.below(others.len() as u64) as usize].clone();
        }
        _ => {}
    }
}

/// Whether an answer says beyond doubt that the program ended well, read anew and without mercy.
fn says_that_it_ended_well(answer: &Json) -> bool {
    let either = |of: &Json, pascal: &str, camel: &str| of.get(pascal).or_else(|| of.get(camel)).cloned();
    let stop = either(answer, "StopCode", "stopCode").unwrap_or_default();
    let by_itself = !stop.is_string() || stop == "" || stop == "EssentialContainerExited";
    let containers = either(answer, "Containers", "containers").unwrap_or_default();
    let containers = containers.as_array().cloned().unwrap_or_default();
    let is_ours = |one: &&Json| either(one, "Name", "name") == Some(json!("task"));
    let own =
        containers.iter().find(is_ours).or_else(|| containers.first().filter(|_| containers.len() == 1));
    by_itself && own.and_then(|own| either(own, "ExitCode", "exitCode")) == Some(json!(0))
}

#[test]
fn no_answer_but_a_plain_zero_is_a_success() {
    let Some((good, bad)) = recorded() else {
        println!("skipped: needs ../shared/conformance");
        return;
    };
    let (mut well, mut badly, mut codeless) = (0, 0, 0);
    for seed in 0..20_000 {
        let mut prng = Prng::new(seed);
        let mut answer = if prng.below(4) == 0 { bad.clone() } else { good.clone() };
        disturb(&mut answer, &mut prng);
        let failure = classify::container(&answer);
        match &failure {
            None => assert!(says_that_it_ended_well(&answer), "seed {seed}: {answer}"),
            Some(failure) => assert!(!failure.message.is_empty() || failure.class != FailureClass::Exit),
        }
        well += usize::from(failure.is_none());
        badly += usize::from(failure.is_some());
        codeless += usize::from(!answer.to_string().to_lowercase().contains("exitcode"));
        // What fails its state is a failure, whatever it says.
        let whole = answer.to_string();
        let torn = whole.chars().take(whole.len() / 2).collect();
        for cause in [whole, torn] {
            for error in ["States.TaskFailed", "AmazonECS.Unknown", "States.Timeout", "Año"] {
                let failure = classify::failure(error, &cause);
                assert!(failure.message.len() <= 1100, "seed {seed}: {}", failure.message.len());
            }
        }
    }
    assert!(
        well > 1_000 && badly > 1_000 && codeless > 1_000,
        "{well} well, {badly} badly, {codeless} codeless"
    );
}

#[test]
fn what_is_no_task_at_all_is_a_failure() {
    for answer in [
        json!(null),
        json!({}),
        json!([]),
        json!("stopped"),
        json!(0),
        json!({"Containers": []}),
        json!({"Containers": null}),
        json!({"ExitCode": 0}),
        json!({"StopCode": "EssentialContainerExited"}),
    ] {
        assert!(classify::container(&answer).is_some(), "{answer}");
    }
    for cause in ["", "{", "null", "[]", "{}", "\u{0}", "no JSON"] {
        assert_eq!(classify::failure("States.TaskFailed", cause).class, FailureClass::Unknown, "{cause}");
    }
}
