//! Pipeline files: YAML text to a checked pipeline and its diagnostics.
