//! Where words go: data to standard output, talk to standard error. Colour only on terminals.
//!
//! A reader that goes away (`cauce runs | head -1`) ends the program quietly: the write that meets
//! the closed pipe becomes a [`Failure`] without words.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use unicode_width::UnicodeWidthStr;

use crate::error::{Exit, Failure};

/// Lines of the drawing on the terminal. There is one terminal, so there is one number; whoever talks
/// takes the drawing away first, and the next drawing stands below what was said.
static DRAWN: AtomicUsize = AtomicUsize::new(0);

/// The two streams, and whether each takes colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    data_colour: bool,
    talk_colour: bool,
    talk_terminal: bool,
}

/// What a word is about, as far as colour is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tone {
    /// Nothing special.
    Plain,
    /// It ended well.
    Good,
    /// It ended badly.
    Bad,
    /// It is under way.
    Busy,
    /// It needs a look.
    Warn,
    /// Beside the point.
    Faint,
    /// A heading.
    Strong,
}

impl Tone {
    const fn escape(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
            Self::Busy => "\x1b[36m",
            Self::Warn => "\x1b[33m",
            Self::Faint => "\x1b[2m",
            Self::Strong => "\x1b[1m",
        }
    }

    /// The tone of a status word, of runs and task runs alike.
    pub(crate) fn of_status(status: &str) -> Self {
        match status {
            "success" => Self::Good,
            "failed" | "upstream_failed" | "cancelled" => Self::Bad,
            "running" => Self::Busy,
            "retrying" | "queued" | "interrupted" => Self::Warn,
            "skipped" | "waiting" | "did not run" => Self::Faint,
            _ => Self::Plain,
        }
    }
}

/// Puts a text into a tone, when colour is wanted.
pub(crate) fn paint(text: &str, tone: Tone, colour: bool) -> String {
    if colour && tone != Tone::Plain { format!("{}{text}\x1b[0m", tone.escape()) } else { text.to_owned() }
}

impl Output {
    /// The program's streams. `colour_allowed` is what the environment says (`NO_COLOR`, `TERM`).
    pub(crate) fn new(colour_allowed: bool) -> Self {
        let talk_terminal = io::stderr().is_terminal();
        Self {
            data_colour: colour_allowed && io::stdout().is_terminal(),
            talk_colour: colour_allowed && talk_terminal,
            talk_terminal,
        }
    }

    /// Whether data may carry colour.
    pub(crate) const fn data_colour(&self) -> bool {
        self.data_colour
    }

    /// Whether talk may carry colour.
    pub(crate) const fn talk_colour(&self) -> bool {
        self.talk_colour
    }

    /// Whether somebody watches the talk.
    pub(crate) const fn talk_is_terminal(&self) -> bool {
        self.talk_terminal
    }

    /// Writes data as it is.
    ///
    /// # Errors
    /// Standard output that is closed (quietly) or broken.
    pub(crate) fn data(&self, bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes.as_ref()).and_then(|()| out.flush()).map_err(|error| closed(&error))
    }

    /// Writes a line of data.
    ///
    /// # Errors
    /// As [`Output::data`].
    pub(crate) fn line(&self, line: &str) -> Result<(), Failure> {
        self.data(format!("{line}\n"))
    }

    /// Writes a document of data, indented, on lines of its own.
    ///
    /// # Errors
    /// As [`Output::data`].
    pub(crate) fn json(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| Failure::from_error(&error))?;
        bytes.push(b'\n');
        self.data(bytes)
    }

    /// Writes a table of data.
    ///
    /// # Errors
    /// As [`Output::data`].
    pub(crate) fn table(&self, table: &Table) -> Result<(), Failure> {
        self.data(table.render(self.data_colour))
    }

    /// Says something. Nobody to hear it is no failure.
    pub(crate) fn talk(&self, text: &str) {
        self.talk_raw(&format!("{text}\n"));
    }

    /// Writes talk as it is, without a line end.
    pub(crate) fn talk_raw(&self, text: &str) {
        let text = format!("{}{text}", erase());
        let mut err = io::stderr().lock();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// Replaces the drawing on the terminal by these lines; none take it away.
    pub(crate) fn draw(&self, lines: &[String]) {
        let mut text = String::new();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.talk_raw(&text);
        DRAWN.store(lines.len(), Ordering::Relaxed);
    }

    /// Says that something needs a look.
    pub(crate) fn warn(&self, text: &str) {
        self.talk(&format!("{} {text}", paint("warning:", Tone::Warn, self.talk_colour)));
    }

    /// Says why a command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        let head = paint("error:", Tone::Bad, self.talk_colour);
        self.talk(&format!("{head} {}", failure.message));
        if let Some(help) = &failure.help {
            self.talk(&format!("{} {help}", paint("help:", Tone::Busy, self.talk_colour)));
        }
    }
}

/// What takes the drawing off the terminal: up, to the first column, clear to the end of the screen.
fn erase() -> String {
    match DRAWN.swap(0, Ordering::Relaxed) {
        0 => String::new(),
        lines => format!("\x1b[{lines}A\r\x1b[J"),
    }
}

/// A reader that has gone ends the program without words; anything else is told.
fn closed(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::told(Exit::Good)
    } else {
        Failure::system(format!("could not write to standard output: {error}"))
    }
}

/// A table of words, aligned on the left, columns two spaces apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// One word of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A word in a tone.
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    /// A status, in its tone.
    pub(crate) fn status(text: impl Into<String>) -> Self {
        let text = text.into();
        let word = text.split([' ', '(']).next().unwrap_or_default();
        let tone = Tone::of_status(word);
        Self { text, tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { head: head.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.to_vec());
    }

    /// Whether it has no rows.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines.
    pub(crate) fn render(&self, colour: bool) -> String {
        let mut widths: Vec<usize> = self.head.iter().map(|text| text.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(first_line(&cell.text).width());
            }
        }
        let mut out = String::new();
        let head: Vec<Cell> =
            self.head.iter().map(|text| Cell { text: text.clone(), tone: Tone::Strong }).collect();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            let last = row.len().saturating_sub(1);
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let text = first_line(&cell.text);
                line.push_str(&paint(text, cell.tone, colour));
                if at < last {
                    line.extend(std::iter::repeat_n(' ', width - text.width() + 2));
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_word_on_screen() {
        let mut table = Table::new(["TASK", "STATUS"]);
        table.row(["año".into(), Cell::status("success")]);
        table.row(["extract_all".into(), Cell::status("failed (allowed)")]);
        assert_eq!(
            table.render(false),
            "TASK         STATUS\naño          success\nextract_all  failed (allowed)\n"
        );
        assert!(table.render(true).contains("\x1b[31mfailed (allowed)\x1b[0m"));
    }

    #[test]
    fn a_closed_pipe_says_nothing() {
        assert_eq!(closed(&io::ErrorKind::BrokenPipe.into()), Failure::told(Exit::Good));
        assert!(!closed(&io::ErrorKind::StorageFull.into()).message.is_empty());
    }
}
