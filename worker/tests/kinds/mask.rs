//! Masking: nothing of the original is left where it must not be.

use serde_json::json;

use crate::lake::Lake;

const PEOPLE: &str = "id,email,card,document,note\n1,ana.perez@x.org,4111111111111234,D-1,hello\n2,,,D-1,\n3,nobody,12,D-2,x\n";

#[test]
fn masked_columns_take_the_place_of_the_originals() {
    let lake = Lake::new();
    lake.write("p.csv", PEOPLE);
    let ran = lake.run_with(
        "mask",
        json!({"source": "p.csv", "drop": ["note"], "output": "m.csv", "columns": {
            "email": {"rule": "email", "as": "email_masked"}, "card": "card",
            "document": {"rule": "hash", "key_env": "MASK_KEY"},
        }}),
        &[("MASK_KEY", "k1")],
    );
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!((&ran.answer["rows"], &ran.answer["masked"]), (&json!(3), &json!(7)));
    let text = lake.read("m.csv");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["id", "email_masked", "card", "document"]);
    assert_eq!(rows[1][..3], ["1", "an****@x.org", "****-1234"]);
    assert_eq!(rows[2][..3], ["2", "", ""]);
    assert_eq!(rows[3][..3], ["3", "[redacted]", "[redacted]"]);
    // Equal documents join, different ones do not, and the key decides.
    assert_eq!(rows[1][3], rows[2][3]);
    assert_ne!(rows[1][3], rows[3][3]);
    for original in ["ana.perez", "411111", "D-1", "hello"] {
        assert!(!text.contains(original) && !ran.log.contains(original), "{original}");
    }
    let other = lake.run_with(
        "mask",
        json!({"source": "p.csv", "output": "n.csv", "columns": {"document": {"rule": "hash", "key_env": "MASK_KEY"}}}),
        &[("MASK_KEY", "k2")],
    );
    assert_eq!(other.code, 0);
    assert!(!lake.read("n.csv").contains(rows[1][3]));
}

#[test]
fn a_mask_that_would_let_something_through_is_refused() {
    let lake = Lake::new();
    lake.write("p.csv", PEOPLE);
    for (columns, message) in [
        (json!({"e_mail": "email"}), "no column `e_mail` to mask"),
        (json!({"document": "hash"}), "needs `key_env`"),
        (json!({"document": {"rule": "hash", "key_env": "MASK_KEY"}}), "MASK_KEY is not set"),
        (json!({"email": "scramble"}), "unknown variant `scramble`"),
    ] {
        let ran = lake.run("mask", json!({"source": "p.csv", "output": "m.csv", "columns": columns}));
        assert_eq!(ran.code, 2, "{}", ran.log);
        assert!(ran.log.contains(message), "{}", ran.log);
        assert!(!lake.path("m.csv").exists());
    }
}
