use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Environment, Expression, JsonataError, JsonataErrorKind, MAX_VALUE_DEPTH};
use crate::jsonpath::recorded::single_states;

fn run(source: &str, input: &Value, variables: &Map<String, Value>) -> Result<Option<Value>, JsonataError> {
    let error_output = json!({"Error": "Boom", "Cause": "because"});
    let environment = Environment {
        input,
        context: &json!({"Execution": {"Name": "run-1"}}),
        result: None,
        error_output: Some(&error_output),
        variables,
        now: "2024-02-29T12:34:56.789Z".parse().unwrap(),
        seed: 42,
    };
    Expression::compile(source)?.evaluate(&environment)
}

fn input() -> Value {
    json!({
        "launch": {"cpu": 256},
        "big": 1234567890123456789_i64,
        "orders": [
            {"id": "o1", "lines": [{"sku": "a", "price": 10, "count": 2}, {"sku": "b", "price": 5, "count": 1}]},
            {"id": "o2", "lines": [{"sku": "a", "price": 7, "count": 3}]}
        ]
    })
}

fn variables() -> Map<String, Value> {
    json!({"run_key": "abc", "generation": 2, "list": [3, 1, 2]}).as_object().cloned().unwrap()
}

fn eval(source: &str) -> Value {
    run(source, &input(), &variables())
        .unwrap_or_else(|error| panic!("{source}: {error}"))
        .unwrap_or_else(|| panic!("{source}: undefined"))
}

fn undefined(source: &str) -> bool {
    run(source, &input(), &variables()).unwrap().is_none()
}

fn failure(source: &str) -> (&'static str, String) {
    let error = run(source, &input(), &variables()).expect_err(source);
    (error.code, error.message)
}

#[test]
fn what_the_compiler_emits() {
    assert_eq!(eval("$run_key & '-g' & $generation & '-extract-1a2b3c4d'"), "abc-g2-extract-1a2b3c4d");
    assert_eq!(eval("$states.input.launch"), json!({"cpu": 256}));
    assert_eq!(eval("$states.errorOutput.Cause"), "because");
    assert_eq!(eval("$states.context.Execution.Name"), "run-1");
    assert_eq!(eval("$states.input.big"), 1234567890123456789_i64);
    assert_eq!(eval("$exists($nothing) ? 1 : 0"), 0);
    assert!(undefined("$states.result"));
    assert!(undefined("$nothing"));
    assert!(undefined("$ & $$") || eval("$ & $$") == "");
}

#[test]
fn paths_map_flatten_and_unwrap() {
    assert_eq!(eval("$states.input.orders.id"), json!(["o1", "o2"]));
    assert_eq!(eval("$states.input.orders.lines.sku"), json!(["a", "b", "a"]));
    assert_eq!(eval("$states.input.orders[0].lines[-1].sku"), "b");
    assert_eq!(eval("$states.input.orders[id='o2'].lines.price"), 7);
    assert_eq!(eval("$states.input.orders[id='o2'].lines.price[]"), json!([7]));
    assert_eq!(eval("$states.input.orders.lines^(>price).price"), json!([10, 7, 5]));
    assert_eq!(eval("$sum($states.input.orders.lines.(price * count))"), 46);
    assert_eq!(eval("$states.input.orders.lines{sku: $sum(count)}"), json!({"a": 5, "b": 1}));
    assert_eq!(
        eval("$states.input.orders.lines.{'order': %.id, 'sku': sku}"),
        json!([{"order": "o1", "sku": "a"}, {"order": "o1", "sku": "b"}, {"order": "o2", "sku": "a"}])
    );
    assert_eq!(eval("$states.input.orders@$o.$o.lines.($o.id & sku)"), json!(["o1a", "o1b", "o2a"]));
    assert_eq!(eval("$states.input.orders.lines#$i[$i = 1].sku"), "b");
    assert_eq!(eval("$list[[0..1]]"), json!([3, 1]));
    assert_eq!(eval("$states.input.orders.*.sku"), json!(["a", "b", "a"]));
    assert_eq!(eval("$states.input.**.cpu"), 256);
}

/// What `$` means inside a path cannot be seen from a state, where nothing is the context at first.
#[test]
fn the_context_is_what_a_path_starts_from() {
    let context = json!({"a": [{"b": [1, 2]}, {"b": [3]}, {"c": 4}], "n": {"a": 5}});
    let variables = variables();
    let environment = Environment {
        input: &Value::Null,
        context: &Value::Null,
        result: None,
        error_output: None,
        variables: &variables,
        now: jiff::Timestamp::UNIX_EPOCH,
        seed: 0,
    };
    let eval =
        |source: &str| Expression::compile(source).unwrap().evaluate_in(&environment, &context).unwrap();
    assert_eq!(eval("a.b"), Some(json!([1, 2, 3])));
    assert_eq!(eval("a.b[0]"), Some(json!([1, 3])));
    assert_eq!(eval("(a.b)[0]"), Some(json!(1)));
    assert_eq!(eval("a[$exists(c)].c"), Some(json!(4)));
    assert_eq!(eval("a[c].c"), None);
    assert_eq!(eval("a[1].b"), Some(json!([3])));
    assert_eq!(eval("a.[b]"), Some(json!([[1, 2], [3], []])));
    assert_eq!(eval("$.n.a"), Some(json!(5)));
    assert_eq!(eval("a.b.($ * 2)"), Some(json!([2, 4, 6])));
    assert_eq!(eval("a.d"), None);
    assert_eq!(eval("$keys(a)"), Some(json!(["b", "c"])));
    assert_eq!(eval("$count(**.a)"), Some(json!(4)));
}

#[test]
fn functions_of_the_language() {
    assert_eq!(eval("$map([1..3], function($v, $i) { $v * $i })"), json!([0, 2, 6]));
    assert_eq!(eval("$reduce($list, function($a, $b) { $a + $b })"), 6);
    assert_eq!(eval("$sort($list)"), json!([1, 2, 3]));
    assert_eq!(eval("$list ~> $sort() ~> $string()"), "[1,2,3]");
    assert_eq!(eval("($twice := function($x) { $x * 2 }; $map($list, $twice))"), json!([6, 2, 4]));
    assert_eq!(eval("($f := function($n) { $n < 2 ? 1 : $n * $f($n - 1) }; $f(10))"), 3628800);
    assert_eq!(eval("$substringAfter(?, '-')('a-b')"), "b");
    assert_eq!(eval("$replace('a1b22', /\\d+/, '<$0>')"), "a<1>b<22>");
    assert_eq!(eval("$formatNumber(1234.5, '#,##0.00')"), "1,234.50");
    assert_eq!(eval("$formatInteger(2024, 'w;o')"), "two thousand and twenty-fourth");
    assert_eq!(eval("$states.input.launch ~> |$|{'memory': 512}, 'cpu'|"), json!({"memory": 512}));
    assert_eq!(eval("$merge([{'a': 1}, {'b': 2}])"), json!({"a": 1, "b": 2}));
    assert_eq!(eval("$now()"), "2024-02-29T12:34:56.789Z");
    assert_eq!(eval("$millis()"), 1_709_210_096_789_i64);
    assert_eq!(
        eval("$fromMillis(0, '[D1o] [MNn] [Y], week [W], [h]:[m] [P]')"),
        "1st January 1970, week 1, 12:00 am"
    );
    assert_eq!(eval("$toMillis('2024-02-29')"), 1_709_164_800_000_i64);
}

#[test]
fn what_aws_adds() {
    assert_eq!(eval("$partition([1..5], 2)"), json!([[1, 2], [3, 4], [5]]));
    assert_eq!(eval("$range(0, 10, 3)"), json!([0, 3, 6, 9]));
    assert_eq!(eval("$hash('input data', 'MD5')"), "812f45842bc6d66ee14572ce20db8e86");
    assert_eq!(eval("$parse('{\"a\": [1, -0]}')"), json!({"a": [1, 0]}));
    assert_eq!(eval("$random()"), eval("$random()"));
    assert_eq!(eval("$random(7)"), eval("$random(7)"));
    assert_eq!(eval("$uuid() = $uuid()"), false);
    assert_eq!(eval("$count($distinct($shuffle([1..50])))"), 50);
    assert_eq!(failure("$eval('1')").0, "T1006");
}

/// The sentences follow the reference's catalogue; T1006 is recorded on AWS.
#[test]
fn errors_carry_code_and_sentence() {
    assert_eq!(failure("$randomSeeded(1)"), ("T1006", "Attempted to invoke a non-function".into()));
    assert_eq!(
        failure("'a' + 1"),
        ("T2001", "The left side of the \"+\" operator must evaluate to a number".into())
    );
    assert_eq!(failure("1 ~> 2").0, "T2006");
    assert_eq!(
        failure("$sum('a')"),
        ("T0412", "Argument 1 of function \"sum\" must be an array of \"numbers\"".into())
    );
    assert_eq!(failure("$length(1)").0, "T0410");
    assert_eq!(failure("sum(1)").1, "Attempted to invoke a non-function. Did you mean $sum?");
    assert_eq!(failure("$number('x')"), ("D3030", "Unable to cast value to a number: \"x\"".into()));
    assert_eq!(failure("$error('stop')"), ("D3137", "stop".into()));
    let error = run("$f := function($x) { $x }", &input(), &variables()).unwrap_err();
    assert_eq!(error.kind, JsonataErrorKind::UnsupportedResult);
    let error = Expression::compile("1 +").unwrap_err();
    assert_eq!((error.kind, error.code), (JsonataErrorKind::Syntax, "S0207"));
    assert_eq!(run("'a' < 1", &input(), &variables()).unwrap_err().position, 5);
}

#[test]
fn hostile_expressions_end_in_an_error() {
    let nested = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let chained = vec!["1"; 100_000].join("+");
    let sources = [
        "($f := function() { $f() }; $f())",
        "($f := function($n) { 1 + $f($n) }; $f(1))",
        "[1..10000000]",
        "[1..2000].[1..2000].[1..2000]",
        "($f := function($s) { $f($s & $s) }; $f('xxxxxxxx'))",
        "($f := function($a) { $f([$a, $a]) }; $f(1))",
        "($f := function($a, $n) { $n = 0 ? $a : $f([$a, $a], $n - 1) }; $f(1, 60))",
        "$reduce([1..100000], function($a, $b) { {'a': $a} })",
        "$reduce([1..100000], $zip)",
        "$pad('', 1e12)",
        "$map([1..100000], function($x) { $map([1..100000], function($y) { $x * $y }) })",
        "($f := $string; $g := function($h, $n) { $n = 0 ? $h : $g($h ~> $h, $n - 1) }; $g($f, 1000)(1))",
        "$join($map([1..100000], function($x) { $pad('', 10000) }))",
        "$replace($pad('', 60000, 'a'), /a/, $pad('', 60000))",
        "$distinct([1..100000])",
        "$range(0, 1e300, 1)",
        "$partition([1], 0)",
        "$formatInteger(1, $pad('', 100000, '0'))",
        "$power(10, 1e10)",
        &nested,
        &chained,
    ];
    for source in sources {
        let shown: String = source.chars().take(80).collect();
        assert!(run(source, &input(), &variables()).is_err(), "{shown}");
    }
}

#[test]
fn recursion_has_room() {
    assert_eq!(eval("($f := function($n) { $n = 0 ? 0 : 1 + $f($n - 1) }; $f(200))"), 200);
    assert_eq!(eval("($f := function($n, $a) { $n = 0 ? $a : $f($n - 1, $a + 1) }; $f(20000, 0))"), 20000);
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    assert!(usize::from(MAX_VALUE_DEPTH) > 100);
    assert_eq!(eval(&deep).to_string(), deep);
}

/// Every expression of recorded single states: its value, or the end of its failure's sentence.
#[test]
fn recorded_expressions_agree() {
    let mut seen = 0;
    for case in single_states().iter().filter(|case| case.speaks("JSONata")) {
        let Some(output) = case.state.get("Output") else { continue };
        compare(
            &case.id,
            output,
            "Output",
            &case.input,
            &case.expected,
            Some(&case.expected["output"]),
            &mut seen,
        );
    }
    println!("{seen} recorded expressions compared");
}

fn compare(
    id: &str,
    template: &Value,
    field: &str,
    input: &Value,
    expected: &Value,
    output: Option<&Value>,
    seen: &mut usize,
) {
    match template {
        Value::Object(members) => {
            for (name, inner) in members {
                let output = output.and_then(|output| output.get(name));
                compare(id, inner, &format!("{field}/{name}"), input, expected, output, seen);
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                let output = output.and_then(|output| output.get(at));
                compare(id, inner, &format!("{field}[{at}]"), input, expected, output, seen);
            }
        }
        Value::String(text) => {
            let source = text.strip_prefix("{%").and_then(|text| text.strip_suffix("%}"));
            let Some(source) = source.map(str::trim).filter(|source| !source.contains("context")) else {
                return;
            };
            *seen += 1;
            let about = format!("The JSONata expression '{source}' specified for the field '{field}' ");
            let said = match run(source, input, &Map::new()) {
                Ok(Some(value)) => {
                    if expected["status"] == "SUCCEEDED" {
                        assert_eq!(Some(&value), output, "{id}: {source}");
                    }
                    return;
                }
                Ok(None) => format!("{about}returned nothing (undefined)."),
                Err(error) => format!("{about}threw an error during evaluation. {error}"),
            };
            let cause = expected["cause"].as_str().unwrap_or_default();
            assert!(cause.ends_with(&said), "{id}: {said}");
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn any_text_compiles_or_fails(text in "\\PC*") {
        let _ = Expression::compile(&text);
    }

    #[test]
    fn evaluation_never_panics(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "$states", ".input", ".orders", "$list", "$", "(", ")", "[", "]", "{", "}", "1",
                "-2", "0.5", "'a'", "*", "**", "%", ".", "+", "/", "&", "=", "<", "in", "and", "?",
                ":", ";", ",", "..", ":=", "~>", "@$x", "#$i", "^(", "[]", "function($x){", "$x",
                "$f(", "$sum", "$string", "$map(", "$split(", "$replace(", "/a|b*/", "$toMillis(",
                "$formatNumber(", "'#,##0.0e0;(0)'", "'[Y]-[M]-[D] [Z]'", "$fromMillis(",
                "|$|{}|", "null", "true", "[0]", ".lines", "^(>price)", "{sku: price}", "%.id",
            ]),
            0..14,
        ),
    ) {
        let _ = run(&parts.concat(), &input(), &variables());
    }

    #[test]
    fn pictures_never_panic(picture in "\\PC{0,12}", number in any::<f64>()) {
        let variables = json!({"p": picture, "n": number}).as_object().cloned().unwrap();
        for source in [
            "$formatNumber($n, $p)", "$formatInteger($n, $p)", "$parseInteger($p, $p)",
            "$fromMillis($n, $p)", "$toMillis($p, $p)", "$formatNumber($n, '#,##0.###e0')",
            "$fromMillis(1e12, '[' & $p & ']')", "$toMillis($p)", "$decodeUrl($p)", "$number($p)",
            "$fromMillis(0, $p, $p)", "$formatBase($n, 36)", "$round($n, 3)", "$substring($p, $n, 2)",
        ] {
            let _ = run(source, &Value::Null, &variables);
        }
    }
}
