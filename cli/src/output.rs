//! What is printed, and how: results on standard output, notes on standard error.
//!
//! What others wrote reaches a terminal without its control characters, which could move the cursor, hide text or
//! make a line look like another person's.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
};

use ailurus::{
    client::{Message, Notice},
    store::MessageState,
    wire::time::UnixMillis,
};
use serde::Serialize;

/// Prints one line of a result.
pub fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Prints one line of JSON.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Tells a person something beside the result. If standard error is closed, nobody is there to be told.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "ailurus: {}", printable(text));
}

/// Tells a person what the library wants them to know.
pub fn notices(notices: &[Notice]) {
    for notice in notices {
        note(&notice.to_string());
    }
}

/// A message in JSON.
#[derive(Serialize)]
pub struct MessageRecord<'a> {
    id: String,
    channel: String,
    author: String,
    author_name: &'a str,
    own: bool,
    time: u64,
    state: &'static str,
    text: &'a str,
}

impl<'a> From<&'a Message> for MessageRecord<'a> {
    fn from(message: &'a Message) -> Self {
        Self {
            id: message.id.to_string(),
            channel: message.channel.to_string(),
            author: hex::encode(message.author.as_bytes()),
            author_name: &message.author_name,
            own: message.own,
            time: message.time.as_millis(),
            state: state_name(message.state),
            text: &message.text,
        }
    }
}

/// A message as a line for people: time, author, text, and a mark if it is our own.
pub fn message_line(message: &Message, style: Style) -> String {
    let mark = if message.own {
        state_mark(message.state)
    } else {
        ""
    };
    format!(
        "{} {} {}{mark}",
        style.dim(&utc(message.time)),
        style.bold(&format!("{}:", author(message))),
        indented(&message.text),
    )
}

/// The author's claimed name, or the beginning of the key of somebody who has not introduced themselves.
pub fn author(message: &Message) -> String {
    match printable(&message.author_name) {
        name if name.is_empty() => short_hex(message.author.as_bytes()),
        name => name,
    }
}

/// How far an own message got, as a mark behind it.
pub fn state_mark(state: MessageState) -> &'static str {
    match state {
        MessageState::Queued => " …",
        MessageState::AtNode => " ✓",
        MessageState::Expired => " ✗ expired",
        MessageState::Received => "",
    }
}

/// The first eight hexadecimal digits.
pub fn short_hex(bytes: &[u8]) -> String {
    hex::encode(bytes.get(..4).unwrap_or(bytes))
}

/// A time as ISO 8601 in UTC, to the second.
pub fn utc(time: UnixMillis) -> String {
    let (days, seconds) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}Z",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Text on one line, without characters that a terminal would obey.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if obeyed(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Text whose further lines are indented, so that none looks like somebody else's message.
pub fn indented(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, line) in text.lines().enumerate() {
        let separator = if index == 0 { "" } else { "\n    " };
        let _ = write!(out, "{separator}{}", printable(&line.replace('\t', "    ")));
    }
    out
}

/// Whether to colour.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    coloured: bool,
}

impl Style {
    /// Coloured if standard output is a terminal and `NO_COLOR` is not set (no-color.org).
    pub fn of_stdout() -> Self {
        Self {
            coloured: io::stdout().is_terminal() && !no_color(),
        }
    }

    /// The same for standard error.
    pub fn of_stderr() -> Self {
        Self {
            coloured: io::stderr().is_terminal() && !no_color(),
        }
    }

    /// Whether escape codes may be printed.
    pub fn coloured(self) -> bool {
        self.coloured
    }

    /// Strong.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Faint.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Good news.
    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.coloured {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A QR code as the library draws it, without its escape codes where colour is off.
pub fn qr_text(drawn: &str, style: Style) -> String {
    if style.coloured() {
        return drawn.to_owned();
    }
    let mut out = String::with_capacity(drawn.len());
    let mut rest = drawn;
    while let Some((before, escape)) = rest.split_once("\x1b[") {
        out.push_str(before);
        rest = escape.split_once('m').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

fn state_name(state: MessageState) -> &'static str {
    match state {
        MessageState::Received => "received",
        MessageState::Queued => "queued",
        MessageState::AtNode => "at_node",
        MessageState::Expired => "expired",
    }
}

fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Control characters, line and paragraph separators, and what reorders text (UAX #9).
fn obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar, by eras of 400 years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_709_251_199, "2024-02-29 23:59:59Z"),
            (1_798_761_599, "2026-12-31 23:59:59Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
        ] {
            assert_eq!(utc(UnixMillis::from_secs(seconds)), text);
        }
    }

    #[test]
    fn what_others_write_cannot_steer_the_terminal_or_pose_as_a_line() {
        assert_eq!(
            printable("a\x1b[2Jb\u{9b}c\u{202e}d\n"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}"
        );
        assert_eq!(
            indented("one\nBob: two\r\n\tthree"),
            "one\n    Bob: two\n        three"
        );
        assert_eq!(printable("naïve 🐼"), "naïve 🐼");
    }

    #[test]
    fn a_qr_code_without_colour_has_no_escape_codes() {
        let drawn = "\x1b[38;5;231;48;5;16m█▀ ▄\x1b[0m\n";
        assert_eq!(qr_text(drawn, Style { coloured: false }), "█▀ ▄\n");
        assert_eq!(qr_text(drawn, Style { coloured: true }), drawn);
    }
}
