//! File-based cases of the pipeline checker: `pipelines/<case>/pipeline.yaml` is checked against
//! `cauce.yaml` beside it, where there is one, and what is reported must equal
//! `expected.stderr.txt`; a case with a file `ok` must be accepted without a word. A case named
//! `project_*` checks `cauce.yaml` itself. `CAUCE_BLESS=1` rewrites what is expected.

mod project;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cauce_spec::{Code, Diagnostic, Project, check, check_project, check_with, render};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines")
}

#[expect(clippy::disallowed_methods, reason = "the switch that rewrites expected files")]
fn bless() -> bool {
    std::env::var_os("CAUCE_BLESS").is_some()
}

/// Files too large or too strange to be kept: their text by case.
fn generated(case: &str) -> Option<Vec<u8>> {
    let text = match case {
        "c003_file_too_large" => {
            let mut text = "pipeline: big\ntasks:\n  a: {pass: {}}\n".to_owned();
            text.push_str(&"# padding of a file that holds ten megabytes\n".repeat(10 * 1024 * 1024 / 45));
            text
        }
        "c004_too_deep" => format!("pipeline: deep\ndocs: {}{}\n", "[".repeat(100_000), "]".repeat(100_000)),
        "c004_too_deep_in_blocks" => (0..2_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect(),
        "c005_aliases_explode" => {
            let mut text = "pipeline: bomb\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
            for level in 1..20 {
                let below = vec![format!("*a{}", level - 1); 10].join(", ");
                text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
            }
            text
        }
        "c002_not_utf8" => return Some(b"pipeline: caf\xe9\ntasks:\n  a: {pass: {}}\n".to_vec()),
        _ => return None,
    };
    Some(text.into_bytes())
}

/// Lists too long to be kept.
fn generated_list(case: &str) -> Option<String> {
    let items = (0..10_001).map(|n| format!("S{n:05}\n"));
    (case == "c511_too_many").then(|| format!("ticker\n{}", items.collect::<String>()))
}

struct Case {
    name: String,
    path: PathBuf,
    found: Vec<Diagnostic>,
    shown: String,
    accepted: bool,
}

fn cases() -> Vec<Case> {
    let mut names: Vec<_> = fs::read_dir(folder())
        .expect("the folder of cases")
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.is_dir())
        .collect();
    names.sort();
    names.into_iter().map(case).collect()
}

fn case(path: PathBuf) -> Case {
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let project_file = fs::read(path.join("cauce.yaml")).ok();
    // Without a pipeline it is a case of the project file.
    if !path.join("pipeline.yaml").exists() && generated(&name).is_none() {
        let text = project_file.expect("a case has a file");
        let (project, found) = check_project(&text);
        let shown = render::text(&found, "cauce.yaml", &text, false);
        return Case { name, path, found, shown, accepted: project.is_some() };
    }
    let project = project::of(&path);
    let text = generated(&name).unwrap_or_else(|| {
        fs::read(path.join("pipeline.yaml")).unwrap_or_else(|error| panic!("{name}: {error}"))
    });
    let checked = check_with(&text, &project, Project::LOCAL, &|file| {
        generated_list(&name).map_or_else(|| project::text(&path, file), Ok)
    });
    let (pipeline, found) = (checked.pipeline, checked.diagnostics);
    let shown = render::text(&found, "pipeline.yaml", &text, false);
    Case { name, path, found, shown, accepted: pipeline.is_some() }
}

#[test]
fn every_case_reports_what_is_expected() {
    let mut wrong = Vec::new();
    for case in cases() {
        if case.path.join("ok").exists() {
            if !case.accepted || !case.found.is_empty() {
                wrong.push(format!("{}: not accepted:\n{}", case.name, case.shown));
            }
            continue;
        }
        let errors = case.found.iter().any(|found| found.severity == cauce_spec::Severity::Error);
        assert_ne!(case.accepted, errors, "{}: accepted only without errors", case.name);
        let expected_path = case.path.join("expected.stderr.txt");
        if bless() {
            fs::write(&expected_path, &case.shown).expect("a writable case");
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if expected != case.shown {
            wrong.push(format!("{}: expected\n{expected}\nfound\n{}", case.name, case.shown));
        }
    }
    assert!(wrong.is_empty(), "{}\nCAUCE_BLESS=1 rewrites what is expected", wrong.join("\n"));
}

#[test]
fn every_code_has_a_case_and_every_case_named_by_a_code_reports_it() {
    let mut seen: BTreeMap<Code, String> = BTreeMap::new();
    for case in cases() {
        for found in &case.found {
            seen.entry(found.code).or_insert_with(|| case.name.clone());
        }
        let named = case.name.split('_').next().unwrap_or_default().to_uppercase();
        if let Some(code) = Code::ALL.iter().find(|code| code.as_str() == named) {
            assert!(
                case.found.iter().any(|found| found.code == *code),
                "{} does not report {code}",
                case.name
            );
        }
    }
    let missing: Vec<_> = Code::ALL.iter().filter(|code| !seen.contains_key(code)).collect();
    assert!(missing.is_empty(), "codes without a case: {missing:?}");
}

#[test]
fn every_code_has_a_page_with_its_title_and_every_page_a_code() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
    for code in Code::ALL {
        let page = fs::read_to_string(pages.join(format!("{code}.md")))
            .unwrap_or_else(|error| panic!("docs/errors/{code}.md: {error}"));
        let title = format!("# {code}: {}\n", code.title().trim_end_matches('.'));
        assert!(page.starts_with(&title), "docs/errors/{code}.md does not start with {title:?}");
        assert!(page.contains("- [ ] "), "docs/errors/{code}.md has no checklist");
    }
    for entry in fs::read_dir(&pages).expect("docs/errors") {
        let name = entry.expect("a readable entry").file_name().to_string_lossy().into_owned();
        let known = name == "README.md" || Code::ALL.iter().any(|code| name == format!("{code}.md"));
        assert!(known || !name.starts_with('C'), "docs/errors/{name} explains no code");
    }
}

#[test]
fn every_diagnostic_has_a_place_and_a_lowercase_message() {
    for case in cases() {
        for found in &case.found {
            assert!(found.position.line >= 1 && found.position.column >= 1, "{}: {found:?}", case.name);
            assert!(found.span.start <= found.span.end, "{}: {found:?}", case.name);
            let first = found.message.chars().next().unwrap_or('A');
            let proper = found.message.starts_with("Fargate");
            assert!(!first.is_uppercase() || proper, "{}: {}", case.name, found.message);
        }
    }
}

#[test]
fn the_real_pipelines_are_accepted_without_a_word() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines");
    let mut checked = 0;
    for system in fs::read_dir(&root).expect("the real pipelines") {
        let system = system.expect("a readable entry").path();
        if !system.join("cauce.yaml").exists() {
            continue;
        }
        let project = project::of(&system);
        for file in fs::read_dir(&system).expect("a readable folder") {
            let file = file.expect("a readable entry").path();
            let yaml = file.extension().is_some_and(|extension| extension == "yaml");
            if !yaml || file.ends_with("cauce.yaml") {
                continue;
            }
            let text = fs::read(&file).expect("a readable pipeline");
            let read = |file: &str| project::text(&system, file);
            let found = check_with(&text, &project, Project::LOCAL, &read).diagnostics;
            let name = file.display().to_string();
            assert!(found.is_empty(), "{}", render::text(&found, &name, &text, false));
            checked += 1;
        }
    }
    assert!(checked > 0, "no pipeline was found");
}

#[test]
fn json_carries_what_the_text_shows() {
    let text = b"pipeline: p\ntasks:\n  a: {pass: {}, retires: 3}\n";
    let (_, found) = check(text, &Project::none());
    let json = render::json(&found, "pipelines/p.yaml");
    assert_eq!(
        json,
        serde_json::json!({
            "file": "pipelines/p.yaml",
            "diagnostics": [{
                "code": "C101",
                "severity": "error",
                "route": "tasks.a.retires",
                "line": 3,
                "column": 17,
                "span": {"start": 35, "end": 42},
                "message": "`retires` is not known here",
                "help": "did you mean `returns`?",
            }],
        })
    );
}

/// A pipeline file that the documentation shows, and what was last shown of a project before it.
struct Shown {
    place: String,
    text: String,
    project: String,
}

fn shown_pipelines() -> Vec<Shown> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = fs::read_dir(root.join("docs")).expect("the documentation");
    let docs = docs.map(|entry| entry.expect("a readable entry").path());
    let mut pages: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    pages.sort();
    pages.push(root.join("README.md"));
    pages.iter().flat_map(|page| shown_on(page)).collect()
}

fn shown_on(page: &Path) -> Vec<Shown> {
    let text = fs::read_to_string(page).expect("a page");
    let name = page.file_name().expect("a name").to_string_lossy().into_owned();
    let (mut shown, mut project) = (Vec::new(), String::new());
    let mut lines = text.lines().enumerate();
    while let Some((number, _)) = lines.find(|(_, line)| line.trim() == "```yaml") {
        let block: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
        let whole: String = block.iter().map(|line| format!("{line}\n")).collect();
        if block.iter().any(|line| line.starts_with("pipeline:")) {
            let place = format!("{name}:{}", number + 2);
            shown.push(Shown { place, text: whole, project: project.clone() });
        } else if let Some(template) = block.iter().find_map(|line| line.strip_prefix("template: ")) {
            let rest = block.iter().filter(|line| !line.starts_with("template: "));
            let rest: String = rest.map(|line| format!("    {line}\n")).collect();
            project = format!("images: {{host: {{local: []}}}}\ntemplates:\n  {template}:\n{rest}");
        } else if block.first() == Some(&"# cauce.yaml") {
            project = whole;
        }
    }
    shown
}

#[test]
fn what_the_documentation_shows_is_accepted() {
    let shown = shown_pipelines();
    assert!(shown.len() > 20, "only {} pipelines are shown", shown.len());
    let mut wrong = String::new();
    for Shown { place, text, project } in &shown {
        // Most pages speak of one thing at a time: a file may stand alone, or need what was declared before it.
        if check(text.as_bytes(), &Project::none()).1.is_empty() {
            continue;
        }
        let (known, found) = check_project(project.as_bytes());
        wrong.push_str(&render::text(&found, &format!("cauce.yaml of {place}"), project.as_bytes(), false));
        let (_, found) = check(text.as_bytes(), &known.unwrap_or(Project::none()));
        wrong.push_str(&render::text(&found, place, text.as_bytes(), false));
    }
    assert!(wrong.is_empty(), "{wrong}");
}
