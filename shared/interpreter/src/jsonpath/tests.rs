use proptest::prelude::*;
use serde_json::{Value, json};

use super::recorded::{Recorded, single_states};
use super::{Path, PathErrorKind, Reference};

fn library() -> Value {
    json!({
        "books": [
            {"title": "Sayings", "price": 8.95, "tags": ["a", "b"]},
            {"title": "Sword", "price": 12.99, "isbn": "0-553"},
            {"title": "Moby", "price": 8.99, "isbn": "0-395"},
            {"title": "Rings", "price": 22.99, "sizes": {"price": 1}}
        ],
        "delivery-partner": "UQS",
        "limit": 10
    })
}

fn eval(path: &str) -> Value {
    Path::parse(path).unwrap().eval(&library()).unwrap()
}

fn failure(path: &str, root: &Value) -> (PathErrorKind, String) {
    let error = Path::parse(path).and_then(|path| path.eval(root)).unwrap_err();
    (error.kind, error.message)
}

#[test]
fn definite_paths_yield_the_value() {
    assert_eq!(eval("$"), library());
    assert_eq!(eval("$.limit"), 10);
    assert_eq!(eval("$.delivery-partner"), "UQS");
    assert_eq!(eval("$['books'][0].title"), "Sayings");
    assert_eq!(eval("$.books[-1]['title']"), "Rings");
    assert_eq!(eval("$.books[0]['title','price']"), json!({"title": "Sayings", "price": 8.95}));
}

#[test]
fn indefinite_paths_yield_an_array() {
    assert_eq!(eval("$.books[*].title"), json!(["Sayings", "Sword", "Moby", "Rings"]));
    assert_eq!(eval("$..price"), json!([8.95, 12.99, 8.99, 22.99, 1]));
    assert_eq!(eval("$.books[1:3].title"), json!(["Sword", "Moby"]));
    assert_eq!(eval("$.books[-2:].title"), json!(["Moby", "Rings"]));
    assert_eq!(eval("$.books[:1].title"), json!(["Sayings"]));
    assert_eq!(eval("$.books[0,2,9].title"), json!(["Sayings", "Moby"]));
    assert_eq!(eval("$.books[7:9]"), json!([]));
    assert_eq!(eval("$.books[*].isbn"), json!(["0-553", "0-395"]));
}

#[test]
fn filters_keep_what_they_accept() {
    let titles = |filter: &str| eval(&format!("$.books[?({filter})].title"));
    assert_eq!(titles("@.price < $.limit"), json!(["Sayings", "Moby"]));
    assert_eq!(titles("@.isbn"), json!(["Sword", "Moby"]));
    assert_eq!(titles("!@.isbn && @.price > 10"), json!(["Rings"]));
    assert_eq!(titles("@.title == 'Moby' || (@.price == 8.95)"), json!(["Sayings", "Moby"]));
    assert_eq!(titles("@.title =~ /s.*/i"), json!(["Sayings", "Sword"]));
    assert_eq!(titles("@.title in ['Moby', 'Rings']"), json!(["Moby", "Rings"]));
    assert_eq!(titles("@.tags anyof ['b']"), json!(["Sayings"]));
    assert_eq!(titles("@.tags size 2"), json!(["Sayings"]));
    assert_eq!(titles("@['title'] != 'Moby'"), json!(["Sayings", "Sword", "Rings"]));
    assert_eq!(titles("@.price == '12.99'"), json!(["Sword"]));
}

#[test]
fn functions_end_a_path() {
    assert_eq!(eval("$.books.length()"), 4);
    assert_eq!(eval("$.books[*].price.min()"), 8.95);
    assert_eq!(eval("$..price.max()"), 22.99);
    assert_eq!(eval("$.books[3].keys()"), json!(["title", "price", "sizes"]));
    assert_eq!(eval("$.books[?(@.price < 9)].length()"), 2);
    assert_eq!(failure("$.books.concat('a')", &library()).0, PathErrorKind::Syntax);
    assert_eq!(failure("$.limit.sum()", &library()).0, PathErrorKind::Unsuitable);
}

/// The first two sentences are recorded on AWS.
#[test]
fn a_path_to_nothing_says_where_it_stops() {
    let missing = |path: &str| failure(path, &library());
    let not_found = |text: &str| (PathErrorKind::NotFound, text.to_owned());
    assert_eq!(missing("$.NoSuch"), not_found("No results for path: $['NoSuch']"));
    assert_eq!(missing("$.no.such.path"), not_found("Missing property in path $['no']"));
    assert_eq!(missing("$.books[9]"), not_found("No results for path: $['books'][9]"));
    assert_eq!(Path::parse("$.no.such[1:].x").unwrap().eval(&library()).unwrap(), json!([]));
    assert_eq!(
        missing("$.limit.x"),
        not_found("Expected to find an object with property ['x'] in path $['limit'] but found 'number'.")
    );
}

#[test]
fn malformed_paths_are_refused() {
    for path in
        ["", "a", "$.", "$..", "$[", "$[?(@.a ==)]", "$['a", "$.a b", "$[?(@.a=='x'", "$[1.5]", "$.a[]", "$x"]
    {
        assert_eq!(failure(path, &Value::Null).0, PathErrorKind::Syntax, "{path}");
    }
    let nested = format!("${}", "[?(@".repeat(500));
    assert_eq!(failure(&nested, &Value::Null).0, PathErrorKind::Syntax);
}

#[test]
fn work_is_bounded() {
    let mut root = json!([1]);
    for _ in 0..40 {
        root = json!([root, 1]);
    }
    let outcome = Path::parse("$..*..*..*..*..*..*").unwrap().eval(&root);
    assert!(outcome.is_err_and(|error| error.kind == PathErrorKind::Unsuitable));
}

#[test]
fn result_path_writes_into_the_input() {
    let set = |path: &str, root: Value| Path::parse(path).unwrap().set(root, json!(7));
    assert_eq!(set("$", json!({"a": 1})), Ok(json!(7)));
    assert_eq!(set("$.a", json!({"a": 1})), Ok(json!({"a": 7})));
    assert_eq!(set("$.b.c", json!({"a": 1})), Ok(json!({"a": 1, "b": {"c": 7}})));
    assert_eq!(set("$['b x']", json!({})), Ok(json!({"b x": 7})));
    assert_eq!(set("$.a[1]", json!({"a": [1, 2]})), Ok(json!({"a": [1, 7]})));
    for (path, root) in [
        ("$.a[2]", json!({"a": [1, 2]})),
        ("$.a.b", json!({"a": 1})),
        ("$.a", json!([1])),
        ("$.a", json!("text")),
        ("$..a", json!({})),
        ("$.a[*]", json!({"a": [1]})),
    ] {
        assert_eq!(set(path, root).unwrap_err().kind, PathErrorKind::CannotSet, "{path}");
    }
}

#[test]
fn references_name_their_root() {
    let parse = |text: &str| Reference::parse(text).unwrap();
    assert_eq!(parse("$.a"), Reference::Input(Path::parse("$.a").unwrap()));
    assert_eq!(parse("$[0]"), Reference::Input(Path::parse("$[0]").unwrap()));
    assert_eq!(parse("$$"), Reference::Context(Path::parse("$").unwrap()));
    assert_eq!(parse("$$.Map.Item"), Reference::Context(Path::parse("$.Map.Item").unwrap()));
    assert_eq!(parse("$v_1[0].b"), Reference::Variable("v_1".into(), Path::parse("$[0].b").unwrap()));
    assert!(Reference::parse("a").is_err());
    assert!(Path::parse("$.a[0].b").unwrap().is_reference());
    assert!(!Path::parse("$.a[*]").unwrap().is_reference());
    assert!(!Path::parse("$.a.length()").unwrap().is_reference());
}

/// `InputPath` of every recorded Pass state that has one and nothing else.
#[test]
fn recorded_input_paths_agree() {
    let mut seen = 0;
    for case in single_states().iter().filter(|case| case.speaks("JSONPath")) {
        let fields = case.state.as_object().unwrap();
        let known = ["Type", "End", "InputPath", "Comment", "QueryLanguage"];
        let path = case.state["InputPath"].as_str().filter(|path| !path.starts_with("$$"));
        let Some(path) = path.filter(|_| fields.keys().all(|key| known.contains(&key.as_str()))) else {
            continue;
        };
        seen += 1;
        match Path::parse(path).and_then(|path| path.eval(&case.input)) {
            Ok(value) => assert_eq!(value, case.expected["output"], "{}", case.id),
            Err(error) => {
                let cause = case.expected["cause"].as_str().unwrap_or_default();
                let said = format!("Invalid path '{path}' : {}", error.message);
                assert!(cause.ends_with(&said), "{}: {error}", case.id);
            }
        }
    }
    println!("{seen} recorded paths compared");
}

/// The paths in `Parameters` of recorded Pass states: the value, or that it could not be found.
#[test]
fn recorded_parameters_agree() {
    let mut seen = 0;
    for case in single_states().iter().filter(|case| case.speaks("JSONPath")) {
        let plain = ["InputPath", "ResultPath", "OutputPath"];
        if plain.iter().any(|field| case.state.get(field).is_some()) {
            continue;
        }
        let output = &case.expected["output"];
        compare(&case.state["Parameters"], output, case, &mut seen);
    }
    println!("{seen} recorded paths compared");
}

fn compare(template: &Value, output: &Value, case: &Recorded, seen: &mut usize) {
    for (name, member) in template.as_object().into_iter().flatten() {
        let path = name.strip_suffix(".$").zip(member.as_str());
        let Some((name, text)) = path.filter(|(_, text)| text.starts_with('$')) else {
            compare(member, &output[name], case, seen);
            continue;
        };
        let Ok(Reference::Input(path)) = Reference::parse(text) else { continue };
        *seen += 1;
        match path.eval(&case.input) {
            Ok(value) if case.expected["status"] == "SUCCEEDED" => {
                assert_eq!(value, output[name], "{}: {text}", case.id);
            }
            Ok(_) => {}
            Err(error) => {
                let cause = case.expected["cause"].as_str().unwrap_or_default();
                let said = format!("The JSONPath '{text}' specified for the field '{name}.$' could");
                assert!(cause.contains(&said), "{}: {error}", case.id);
            }
        }
    }
}

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-c]", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_parses_or_fails(text in "\\PC*") {
        let _ = Path::parse(&text);
        let _ = Reference::parse(&format!("${text}"));
    }

    #[test]
    fn evaluation_never_panics(
        steps in prop::collection::vec(
            prop::sample::select(vec![
                ".a", ".b", "..", "..c", ".*", "[*]", "[0]", "[-1]", "[0,1]", "[1:]", "[:-1]",
                "['a','b']", "[?(@.a)]", "[?(@ > 1)]", "[?(@.a == $.b || !@.c)]", ".length()",
                "[99999999999]", "[-9223372036854775808]", "[-9223372036854775808:9223372036854775807]",
            ]),
            0..6,
        ),
        root in arbitrary_json(),
    ) {
        if let Ok(path) = Path::parse(&format!("${}", steps.concat())) {
            let _ = path.eval(&root);
            let _ = path.set(root, Value::Null);
        }
    }

    #[test]
    fn what_was_set_is_found(names in prop::collection::vec("[a-z]{1,3}", 1..4), root in arbitrary_json()) {
        let path = Path::parse(&format!("$.{}", names.join("."))).unwrap();
        if let Ok(written) = path.set(root, Value::from(1)) {
            prop_assert_eq!(path.eval(&written).unwrap(), 1);
        }
    }
}
