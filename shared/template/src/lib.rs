//! Jinja templates: parse, list the names used, render strictly.
