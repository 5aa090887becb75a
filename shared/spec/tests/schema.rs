//! The committed JSON Schemas are those of the code, and say something about every field.
//! `CAUCE_BLESS=1` rewrites them.

use std::fs;
use std::path::Path;

use serde_json::Value;

#[expect(clippy::disallowed_methods, reason = "the switch that rewrites committed files")]
fn committed(name: &str, schema: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    let text = format!("{schema:#}\n");
    if std::env::var_os("CAUCE_BLESS").is_some() {
        fs::write(&path, &text).expect("a writable schema");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "docs/reference/{name} is stale: CAUCE_BLESS=1 rewrites it");
}

/// Every property of every definition has a title and a sentence.
fn documented(schema: &Value, place: &str, count: &mut usize) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Object(properties)) = fields.get("properties") {
                for (key, property) in properties {
                    for part in ["title", "description"] {
                        let text = property[part].as_str().unwrap_or_default();
                        assert!(!text.is_empty(), "{place}.{key} has no {part}");
                    }
                    *count += 1;
                }
            }
            for (key, value) in fields {
                documented(value, &format!("{place}.{key}"), count);
            }
        }
        Value::Array(items) => {
            for item in items {
                documented(item, place, count);
            }
        }
        _ => {}
    }
}

#[test]
fn the_committed_schemas_are_current_and_documented() {
    for (name, schema, least) in [
        ("pipeline.schema.json", cauce_spec::schema::pipeline(), 200),
        ("project.schema.json", cauce_spec::schema::project(), 30),
    ] {
        let mut count = 0;
        documented(&schema, name, &mut count);
        assert!(count >= least, "{name} has only {count} properties");
        committed(name, &schema);
    }
}

#[test]
fn every_reference_leads_to_a_definition() {
    for schema in [cauce_spec::schema::pipeline(), cauce_spec::schema::project()] {
        let text = schema.to_string();
        for name in text.split("\"#/$defs/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(schema["$defs"][name].is_object(), "{name} is not defined");
        }
    }
}
