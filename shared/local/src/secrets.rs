//! `.cauce/secrets.env`: the values of secrets on one machine.
//!
//! ```text
//! # one NAME=value a line; NAME is what follows "secret:" in a pipeline file
//! erp/password=correct horse
//! erp/token='taken $literally, spaces and all '
//! erp/key="two\nlines"
//! ```
//! Unquoted values end at the end of the line and lose the spaces around them. In double quotes
//! `\n`, `\t`, `\\`, `\"` have their usual meaning; in single quotes nothing has any.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What precedes a secret's name in a pipeline file.
pub const SECRET_PREFIX: &str = "secret:";

/// Secret values by name. Never shown: its debug text has the names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    values: BTreeMap<String, String>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsFileError {
    /// It is there and cannot be read.
    #[error("could not read {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It holds something else than secrets.
    #[error("{}: {problem}", .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        problem: SecretsError,
    },
}

/// A line of the file that is not a secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line} of the secrets file: {problem}")]
pub struct SecretsError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong. Never the value.
    pub problem: &'static str,
}

impl Secrets {
    /// Reads the file; without one there are no secrets.
    ///
    /// # Errors
    /// A file that cannot be read, is not UTF-8, or holds something else than secrets.
    pub fn read(path: &Path) -> Result<Self, SecretsFileError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text)
                .map_err(|problem| SecretsFileError::Wrong { path: path.to_owned(), problem }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(SecretsFileError::Unreadable { path: path.to_owned(), source }),
        }
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// The first line that is neither empty, a comment, nor `NAME=value`.
    pub fn parse(text: &str) -> Result<Self, SecretsError> {
        let mut values = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let wrong = |problem| SecretsError { line: number + 1, problem };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = line.split_once('=').ok_or_else(|| wrong("expected NAME=value"))?;
            let name = name.trim();
            let name = name.strip_prefix("export ").unwrap_or(name).trim();
            if name.is_empty() || name.chars().any(char::is_whitespace) {
                return Err(wrong("a name has no spaces, and at least one character"));
            }
            let value = unquote(value.trim()).map_err(wrong)?;
            if values.insert(name.to_owned(), value).is_some() {
                return Err(wrong("this name was given a value above; keep one of them"));
            }
        }
        Ok(Self { values })
    }

    /// The value that a reference names: `secret:erp/password`, with or without the prefix.
    pub fn get(&self, reference: &str) -> Option<&str> {
        let name = reference.strip_prefix(SECRET_PREFIX).unwrap_or(reference);
        self.values.get(name).map(String::as_str)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

fn unquote(value: &str) -> Result<String, &'static str> {
    if let Some(rest) = value.strip_prefix('\'') {
        return match rest.strip_suffix('\'') {
            Some(inner) if !inner.contains('\'') => Ok(inner.to_owned()),
            _ => Err("a value that begins with ' ends with the next one"),
        };
    }
    let Some(rest) = value.strip_prefix('"') else {
        return Ok(value.to_owned());
    };
    let mut text = String::new();
    let mut rest = rest.chars();
    loop {
        match rest.next() {
            Some('"') if rest.as_str().is_empty() => return Ok(text),
            Some('"') => return Err("nothing may follow the closing \""),
            Some('\\') => text.push(match rest.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some(same @ ('"' | '\\')) => same,
                _ => return Err("unknown escape: there are \\n, \\t, \\\\ and \\\""),
            }),
            Some(other) => text.push(other),
            None => return Err("a value that begins with \" must end with one"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_written() {
        let secrets = Secrets::parse(
            "# comment\n\nerp/password = correct horse \nexport A=x=y#z\nq='it is $x \"'\n\
             d=\"two\\nlines \\\"\\\\\"\nempty=\r\nñ=é\n",
        )
        .unwrap();
        for (name, value) in [
            ("secret:erp/password", "correct horse"),
            ("A", "x=y#z"),
            ("q", "it is $x \""),
            ("d", "two\nlines \"\\"),
            ("empty", ""),
            ("ñ", "é"),
        ] {
            assert_eq!(secrets.get(name), Some(value), "{name}");
        }
        assert_eq!(secrets.get("secret:other"), None);
        let shown = format!("{secrets:?}");
        assert!(shown.contains("erp/password") && !shown.contains("horse"));
    }

    #[test]
    fn a_file_that_is_not_there_holds_no_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.env");
        assert_eq!(Secrets::read(&path).unwrap(), Secrets::default());
        std::fs::write(&path, "a=1").unwrap();
        assert_eq!(Secrets::read(&path).unwrap().get("a"), Some("1"));
        std::fs::write(&path, "a=1\noops").unwrap();
        let error = Secrets::read(&path).unwrap_err().to_string();
        assert!(error.ends_with("secrets.env: line 2 of the secrets file: expected NAME=value"), "{error}");
        std::fs::write(&path, b"a=\xff").unwrap();
        assert!(matches!(Secrets::read(&path), Err(SecretsFileError::Unreadable { .. })));
    }

    #[test]
    fn wrong_lines_are_named_and_not_quoted() {
        for (text, line) in [
            ("a=1\nhunter2", 2),
            ("=hunter2", 1),
            ("two words=hunter2", 1),
            ("a='hunter2", 1),
            ("a=\"hunter2", 1),
            ("a=\"hunter2\" more", 1),
            ("a=\"hunter2\\x\"", 1),
            ("a=1\na=hunter2", 2),
        ] {
            let error = Secrets::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
