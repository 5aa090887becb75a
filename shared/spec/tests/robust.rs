//! Whatever the bytes are, the checker answers: with a pipeline or with a reason.

use cauce_spec::{Kind, Project, Severity, check, check_project, render};
use proptest::prelude::*;

const DESIGN: &str = include_str!("../../../tests/pipelines/ok_design/pipeline.yaml");

fn answers(text: &[u8]) {
    let (pipeline, found) = check(text, &Project::none());
    let errors = found.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(pipeline.is_none(), errors, "withheld exactly when there is an error: {found:?}");
    for shown in [render::text(&found, "p.yaml", text, false), render::text(&found, "p.yaml", text, true)] {
        assert_eq!(shown.is_empty(), found.is_empty());
    }
    check_project(text);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        answers(&bytes);
    }

    #[test]
    fn any_yaml_like_text(text in "([a-z]{1,4}: |- |\\[|\\]|\\{|\\}|\"|'|\\{\\{ ds \\}\\}|\\n {0,6}|&a |\\*a|!!|#|\\||é|,){0,60}") {
        answers(text.as_bytes());
    }

    #[test]
    fn a_good_file_cut_or_changed(at in 0..DESIGN.len(), length in 0..40usize, with in "[\\PC\\n]{0,12}") {
        let mut bytes = DESIGN.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, with.bytes());
        answers(&bytes);
    }

    #[test]
    fn a_line_taken_out(line in 0..DESIGN.lines().count()) {
        let text: String = DESIGN.lines().enumerate().filter(|(at, _)| *at != line).map(|(_, line)| format!("{line}\n")).collect();
        answers(text.as_bytes());
    }
}

#[test]
fn a_file_without_any_task_name_right_is_still_answered_quickly() {
    let tasks: String = (0..3_000).map(|at| format!("  t{at}: {{needs: [x{at}], pass: {{}}}}\n")).collect();
    let text = format!("pipeline: p\ntasks:\n{tasks}");
    let (pipeline, found) = check(text.as_bytes(), &Project::none());
    assert!(pipeline.is_none());
    assert_eq!(found.len(), 3_000, "every unknown name is reported");
}

#[test]
fn a_deep_chain_and_a_wide_circle_do_not_exhaust_the_stack() {
    let tasks: String =
        (0..20_000).map(|at| format!("  t{at}: {{needs: [t{}], pass: {{}}}}\n", (at + 1) % 20_000)).collect();
    let (_, found) = check(format!("pipeline: p\ntasks:\n{tasks}").as_bytes(), &Project::none());
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("19991 more"), "{}", found[0].message);
}

#[test]
fn positions_are_kept_for_tasks() {
    let (pipeline, found) =
        check(b"pipeline: p\ntasks:\n  a: {pass: {}}\n\n  b: {pass: {}}\n", &Project::none());
    assert!(found.is_empty(), "{found:?}");
    let pipeline = pipeline.expect("a good file");
    let places: Vec<_> =
        pipeline.tasks.values().map(|task| (task.position.line, task.position.column)).collect();
    assert_eq!(places, [(3, 3), (5, 3)]);
}

#[test]
fn defaults_reach_every_task_key_by_key() {
    let text = include_bytes!("../../../tests/pipelines/ok_defaults/pipeline.yaml");
    let (pipeline, found) = check(text, &Project::none());
    assert!(found.is_empty(), "{found:?}");
    let tasks = pipeline.expect("a good file").tasks;
    let resources = |task: &str| match &tasks[task].kind {
        Kind::Container(container) => container.resources.clone(),
        Kind::Sql(data) => data.resources.clone(),
        Kind::Copy(data) => data.resources.clone(),
        other => panic!("{task} is {}", other.key()),
    };
    assert_eq!((resources("program").cpu, resources("program").memory), (512, 1024));
    assert_eq!((resources("rows").cpu, resources("rows").memory), (512, 1024));
    assert_eq!((resources("larger").cpu, resources("larger").memory), (512, 2048));
    assert_eq!(resources("larger").env["MODE"].source(), "full");
    let told =
        |task: &str| (tasks[task].settings.notify.failed.len(), tasks[task].settings.notify.retrying.len());
    assert_eq!(told("program"), (1, 0));
    assert_eq!(told("told"), (1, 1));
    assert!(matches!(tasks["message"].kind, Kind::Notify(_)));
    assert!(tasks.values().all(|task| task.settings.timeout.is_some_and(|timeout| timeout.0 == 600)));
}
