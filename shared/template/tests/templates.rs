//! Templates as a pipeline file uses them.

use cauce_template::{Context, FUEL, MAX_OUTPUT_BYTES, MAX_TEMPLATE_BYTES, Template, TemplateValue};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn context() -> Context {
    let values = json!({
        "ds": "1997-01-31",
        "logical_date": "1997-01-31T05:00:00Z",
        "params": {"rows": 7, "region": "NA", "list": [1, 2, 3], "none": null},
        "outputs": {"extract": {"path": "s3://lake/raw/a.tar.gz", "chunks": [{"id": 1}]}, "skipped": {}},
        "item": {"id": 3},
    });
    Context::new(values.as_object().expect("an object"))
}

fn render(text: &str) -> Result<Json, String> {
    let template = Template::parse(text).map_err(|error| format!("parse at {}: {error}", error.offset))?;
    template.render(&context()).map_err(|error| format!("at {}: {error}", error.offset))
}

#[test]
fn one_whole_expression_keeps_its_type_and_anything_around_it_makes_text() {
    assert_eq!(render("{{ params.rows }}"), Ok(json!(7)));
    assert_eq!(render("{{ params.list }}"), Ok(json!([1, 2, 3])));
    assert_eq!(render("{{ item }}"), Ok(json!({"id": 3})));
    assert_eq!(render("{{ params.rows > 5 }}"), Ok(json!(true)));
    assert_eq!(render("{{ params.none }}"), Ok(Json::Null));
    assert_eq!(render(" {{ params.rows }}"), Ok(json!(" 7")));
    assert_eq!(render("{{ params.rows }}{{ params.rows }}"), Ok(json!("77")));
    assert_eq!(render("--date={{ ds }}"), Ok(json!("--date=1997-01-31")));
    assert_eq!(render(""), Ok(json!("")));
}

#[test]
fn text_without_expressions_passes_unchanged() {
    for text in ["plain", "a {single} brace", "tab\tand\nnewline\n", "{}", "é"] {
        assert_eq!(render(text), Ok(json!(text)), "{text:?}");
    }
    assert_eq!(Template::parse("plain").expect("constant").as_constant(), Some("plain"));
    assert_eq!(render("line {{ params.rows }}\n"), Ok(json!("line 7\n")), "the last line break stays");
}

#[test]
fn what_is_known_to_be_absent_has_its_default_however_deep_and_is_an_error_anywhere_else() {
    let values = json!({"ds": "1997-01-31", "outputs": {"extract": {"path": "raw"}}});
    let context =
        Context::with_absent(values.as_object().expect("an object"), "outputs", &["failed".to_owned()]);
    let render = |text: &str| Template::parse(text).expect("a template").render(&context);
    for (text, value) in [
        ("{{ outputs.failed.path | default('x') }}", json!("x")),
        ("{{ outputs.failed.deep.path[0] | d(7) }}", json!(7)),
        ("{{ outputs.failed | default([]) }}", json!([])),
        ("{{ outputs.failed.path | default }}", json!("")),
        ("{{ outputs.failed.path | default(outputs.extract.path) }}", json!("raw")),
        ("{{ outputs.extract.path | default(outputs.failed.path) }}", json!("raw")),
        ("{{ outputs.extract.path | default(outputs.failed.path | default('x')) }}", json!("raw")),
        ("{{ outputs.failed is defined }}", json!(false)),
        ("{{ outputs.failed.path is undefined }}", json!(true)),
        ("{{ 'a' if outputs.failed else 'b' }}", json!("b")),
        ("{{ '' | default('empty', true) }}", json!("empty")),
        ("{{ '' | default('empty') }}", json!("")),
        ("{% if outputs.failed.path is defined %}a{% else %}{{ ds }}{% endif %}", json!("1997-01-31")),
    ] {
        assert_eq!(render(text).map_err(|error| error.to_string()), Ok(value), "{text}");
    }
    for text in [
        "{{ outputs.failed }}",
        "{{ outputs.failed.path }}",
        "x{{ outputs.failed.path }}",
        "{{ outputs.failed.rows + 1 }}",
        "{{ outputs.failed | length }}",
        "{{ outputs.failed.path | default(outputs.failed.other) }}",
        "{% for row in outputs.failed.rows %}a{% endfor %}",
        "{% if ds %}{{ outputs.failed.path }}{% endif %}",
        "{{ outputs.nobody.path | default('x') }}",
        "{{ (outputs.failed.path ~ '/b') | default('x') }}",
        "{{ outputs.failed.path | upper | default('x') }}",
        "a{{ outputs.failed.path | replace('a', 'b') }}",
        "{{ [outputs.failed.path] | default('x') }}",
        "{{ {'a': outputs.failed.path} }}",
        "a{{ [outputs.failed.path] }}",
        "{{ outputs.failed | tojson }}",
        "{% if ds %}{{ outputs.failed.path ~ '/b' }}{% endif %}",
        "{% set path = outputs.failed.path ~ '/b' %}{{ ds }}",
    ] {
        assert!(render(text).is_err(), "{text}: {:?}", render(text));
    }
    for text in ["{{ outputs.failed.path }}", "{{ (outputs.failed.path ~ '/b') | default('x') }}"] {
        let named = render(text).map_err(|error| error.message);
        assert_eq!(named, Err("`outputs.failed.path` has no value".to_owned()));
    }
    // What was made of one says nothing of the next.
    assert_eq!(render("{{ ds ~ '/b' }}"), Ok(json!("1997-01-31/b")));
}

#[test]
fn a_missing_value_is_an_error_that_names_it() {
    assert_eq!(render("{{ params.missing }}"), Err("at 3: `params.missing` has no value".to_owned()));
    assert_eq!(
        render("x {{ outputs.nobody.path }}"),
        Err("at 5: `outputs.nobody.path` has no value".to_owned())
    );
    assert_eq!(render("{{ params.missing + 1 }}"), Err("at 3: `params.missing` has no value".to_owned()));
    assert_eq!(
        render("{% if params.missing %}a{% endif %}"),
        Err("at 6: `params.missing` has no value".to_owned())
    );
    assert_eq!(render("{{ outputs.skipped.path | default('none') }}"), Ok(json!("none")));
    assert_eq!(render("{{ 'a' if params.missing is defined else 'b' }}"), Ok(json!("b")));
}

#[test]
fn dates_paths_and_json_have_filters() {
    for (text, value) in [
        ("{{ ds | add_days(-31) }}", json!("1996-12-31")),
        ("{{ ds | add_months(1) }}", json!("1997-02-28")),
        ("{{ logical_date | add_months(1) }}", json!("1997-02-28T05:00:00Z")),
        ("{{ logical_date | add_hours(20) }}", json!("1997-02-01T01:00:00Z")),
        ("{{ ds | start_of_month }}", json!("1997-01-01")),
        ("{{ '1996-02-10' | end_of_month }}", json!("1996-02-29")),
        ("{{ ds | weekday }}", json!(5)),
        ("{{ ds | days_until('1997-03-01') }}", json!(29)),
        ("{{ ds | format('%d/%m/%Y') }}", json!("31/01/1997")),
        ("{{ logical_date | format('%H:%M') }}", json!("05:00")),
        ("{{ outputs.extract.path | basename }}", json!("a.tar.gz")),
        ("{{ outputs.extract.path | dirname }}", json!("s3://lake/raw")),
        ("{{ outputs.extract.path | stem }}", json!("a.tar")),
        ("{{ outputs.extract.path | extension }}", json!("gz")),
        ("{{ '.hidden' | extension }}", json!("")),
        ("{{ 's3://lake/' | join_path('/raw') }}", json!("s3://lake/raw")),
        ("{{ params.list | tojson }}", json!("[1, 2, 3]")),
        ("{{ '{\"a\": [1]}' | fromjson }}", json!({"a": [1]})),
        ("{{ params.list | join(',') }}", json!("1,2,3")),
        ("{% for n in params.list %}{{ n }};{% endfor %}", json!("1;2;3;")),
    ] {
        assert_eq!(render(text), Ok(value), "{text}");
    }
    assert!(render("{{ 'tomorrow' | add_days(1) }}").expect_err("no date").contains("neither a date"));
    assert!(render("{{ ds | add_hours(1) }}").expect_err("no time").contains("a day without a time"));
    assert!(render("{{ ds | add_days(99999999999) }}").is_err());
    assert!(render("{{ ds | format('%') }}").is_err());
}

#[test]
fn what_could_only_fail_at_run_time_fails_when_parsed() {
    for (text, at, message) in [
        ("{{ ds", 3, "unexpected end of input"),
        ("a {{ ds | shout }}", 10, "no filter `shout`"),
        ("{{ ds.upper() }}", 3, "no methods"),
        ("{{ now() }}", 3, "no function `now`"),
        ("{{ debug() }}", 3, "no function `debug`"),
        ("${{ env.a", 0, "not closed"),
        ("${{ user.name }}", 4, "neither `env.<name>` nor `matrix.<name>`"),
        ("{% include 'x' %}", 3, "unknown statement"),
        ("{% if a %}", 8, "unexpected end of input"),
    ] {
        let error = Template::parse(text).expect_err(text);
        assert!(error.message.contains(message), "{text}: {error}");
        assert_eq!(error.offset, at, "{text}: {error}");
    }
    assert!(Template::parse(&"x".repeat(MAX_TEMPLATE_BYTES + 1)).is_err());
}

#[test]
fn a_template_that_loops_or_floods_ends_with_a_clear_error() {
    let looping = "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}";
    assert!(render(looping).expect_err("fuel").contains(&format!("more than {FUEL} instructions")));
    let flood = "{% for a in range(20000) %}0123456789012345678901234567890123456789012345678901234567890123{% endfor %}";
    assert!(render(flood).expect_err("size").contains(&format!("more than {MAX_OUTPUT_BYTES} bytes")));
    assert!(render("{{ 'a' * 100000000000 }}").is_err());
    assert!(render("{{ range(99999) | list }}").is_ok());
    assert!(render("{{ (range(99999) | list) ~ (range(99999) | list) ~ (range(99999) | list) }}").is_err());
}

#[test]
fn names_say_what_is_read_where_and_whether_it_must_exist() {
    let found = |text: &str| {
        let template = Template::parse(text).expect(text);
        let names: Vec<String> = template
            .names()
            .iter()
            .map(|name| {
                assert_eq!(
                    text[name.offset..name.offset + name.length].split(['.', '[']).next(),
                    name.path.first().map(String::as_str),
                    "{text}"
                );
                format!("{}{}", name.dotted(), if name.optional { "?" } else { "" })
            })
            .collect();
        names.join(" ")
    };
    assert_eq!(found("{{ outputs.extract.path }}/{{ ds }}"), "outputs.extract.path ds");
    assert_eq!(found("{{ outputs.a.b | default(params.c) }}"), "outputs.a.b? params.c");
    assert_eq!(found("{{ (outputs.a.b | upper) | default('x') }}"), "outputs.a.b");
    assert_eq!(found("{{ (outputs.a.b ~ ds) | default('x') }}"), "outputs.a.b ds");
    assert_eq!(found("{{ outputs.a.b[:3] | default('x') }}"), "outputs.a.b");
    assert_eq!(found("{{ outputs.a.b | default('x') | upper }}"), "outputs.a.b?");
    assert_eq!(found("{{ outputs['a'].b[0].c }}"), "outputs.a.b");
    assert_eq!(found("{{ outputs[params.x] }}"), "params.x outputs");
    assert_eq!(found("{{ outputs.a.b if outputs.a is defined else ds }}"), "outputs.a? outputs.a.b? ds");
    assert_eq!(found("{% for x in params.list %}{{ x.y }}{{ loop.index }}{% endfor %}"), "params.list");
    assert_eq!(found("{% set d = ds %}{{ d }}"), "ds");
    assert_eq!(found("{{ params.list | map(attribute='id') | join(',') }}"), "params.list");
    assert_eq!(found("s3://${{ env.bucket }}/{{ ds }}"), "env.bucket ds");
}

#[test]
fn environment_placeholders_stay_until_they_are_filled() {
    let template = Template::parse("s3://${{ env.bucket }}/{{ ds }}/${{env.port}}").expect("a template");
    assert_eq!(template.source(), "s3://${{ env.bucket }}/{{ ds }}/${{env.port}}");
    assert!(
        template
            .render(&context())
            .expect_err("unfilled")
            .message
            .contains("`${{ env.bucket }}` has no value here")
    );
    let values = json!({"bucket": "lake", "port": 9000});
    let filled = template.fill_env(values.as_object().expect("an object")).expect("filled");
    assert_eq!(filled.render(&context()), Ok(json!("s3://lake/1997-01-31/9000")));
    let missing = template.fill_env(&serde_json::Map::new()).expect_err("missing");
    assert_eq!(
        (missing.offset, missing.message.as_str()),
        (5, "`env.bucket` has no value in this environment")
    );
}

#[test]
fn trees_of_templates_keep_their_shape() {
    let tree = json!({"a": ["{{ params.rows }}", 1, null, {"b": "x{{ ds }}"}], "c": true});
    let value = TemplateValue::parse(&tree).expect("a tree");
    assert_eq!(value.to_json(), tree);
    assert_eq!(value.render(&context()), Ok(json!({"a": [7, 1, null, {"b": "x1997-01-31"}], "c": true})));
    let text = serde_json::to_string(&value).expect("text");
    assert_eq!(serde_json::from_str::<TemplateValue>(&text).expect("the same"), value);
}

proptest! {
    #[test]
    fn parsing_never_panics_and_offsets_stay_inside(text in "([a-z.]{1,5}|\\{\\{|\\}\\}|\\{%|%\\}|\\$|\\||\\(|\\)|'|\\[|\\]| |é|[0-9]|-|for|in|if|end|\\n){0,24}") {
        match Template::parse(&text) {
            Ok(template) => {
                for name in template.names() {
                    prop_assert!(text.get(name.offset..name.offset + name.length).is_some());
                }
                let _ = template.render(&context());
            }
            Err(error) => prop_assert!(error.offset <= text.len()),
        }
    }
}
