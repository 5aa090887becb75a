//! The JSON Schemas of both files, for editors; made from the same definitions as the decoder.

use serde_json::{Value as Json, json};

use crate::file::pipeline::Pipeline;
use crate::file::project::Project;
use crate::shape::{Definitions, Shape};

/// The schema of a pipeline file.
pub fn pipeline() -> Json {
    whole::<Pipeline>("Pipeline")
}

/// The schema of the project file, `cauce.yaml`.
pub fn project() -> Json {
    whole::<Project>("Project")
}

fn whole<T: Shape>(name: &str) -> Json {
    let mut definitions = Definitions::default();
    T::schema(&mut definitions);
    let mut schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema"});
    if let Some(Json::Object(root)) = definitions.0.remove(name) {
        for (key, value) in root {
            schema[key.as_str()] = value;
        }
    }
    schema["$defs"] = Json::Object(definitions.0);
    schema
}
