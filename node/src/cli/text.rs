//! What is printed for people: tables, bars, sizes, times.

use std::{
    io::{self, IsTerminal, Write as _},
    time::Duration,
};

use serde::Serialize;

/// Prints a result.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints one line of JSON.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    print(&format!("{}\n", serde_json::to_string(value)?))
}

/// Says something beside the result. If stderr is closed, nobody is there to be told.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether escape codes may go there: a terminal, and `NO_COLOR` is not set (no-color.org).
pub fn is_coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Colours of stdout.
#[derive(Clone, Copy)]
pub struct Style(bool);

impl Style {
    pub fn of_stdout() -> Self {
        Self(is_coloured(&io::stdout()))
    }

    pub fn of_stderr() -> Self {
        Self(is_coloured(&io::stderr()))
    }

    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// A QR code as the library draws it, without its escape codes where colour is off.
    pub fn drawing(self, drawn: &str) -> String {
        if self.0 {
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

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Rows in columns that are as wide as their widest cell, two spaces apart, indented by two.
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str("  ");
            line.push_str(cell);
            let missing = width.saturating_sub(cell.chars().count());
            line.extend(std::iter::repeat_n(' ', missing));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A bar of at most `width` cells, in eighths of a cell; something that is not zero is never drawn as nothing.
pub fn bar(value: u64, most: u64, width: u64) -> String {
    if value == 0 || most == 0 {
        return String::new();
    }
    let eighths = u128::from(value.min(most)) * u128::from(width) * 8 / u128::from(most);
    let eighths = usize::try_from(eighths.max(1)).unwrap_or(0);
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(
        ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
            .get(eighths % 8)
            .copied(),
    );
    bar
}

/// Bytes in the largest unit of 1,024 that leaves a number.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < 1_024.0 || unit == "TiB" {
            let digits = usize::from(unit != "B" && value < 10.0 && value.fract() > 0.049);
            return format!("{value:.digits$} {unit}");
        }
        value /= 1_024.0;
    }
    String::new()
}

/// A duration in its largest unit, rounded.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (number, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => ((seconds + 30) / 60, "minute"),
        7_200..172_800 => ((seconds + 1_800) / 3_600, "hour"),
        _ => (seconds.saturating_add(43_200) / 86_400, "day"),
    };
    count(number, unit, &format!("{unit}s"))
}

/// One or many.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_characters() {
        let rows = [
            ["é".to_owned(), "1".to_owned()],
            ["two".to_owned(), String::new()],
        ];
        assert_eq!(columns(&rows), "  é    1\n  two\n");
    }

    #[test]
    fn bars_show_that_there_is_something() {
        assert_eq!(bar(0, 10, 8), "");
        assert_eq!(bar(10, 10, 8), "████████");
        assert_eq!(bar(5, 10, 3), "█▌");
        assert_eq!(bar(1, 1_000_000, 8), "▏");
        assert_eq!(bar(20, 10, 2), "██");
        assert_eq!(bar(1, 0, 8), "");
        assert_eq!(bar(u64::MAX, u64::MAX, 2), "██");
    }

    #[test]
    fn spans() {
        for (seconds, text) in [
            (1, "1 second"),
            (119, "119 seconds"),
            (3_600, "60 minutes"),
            (172_800, "2 days"),
            (90 * 86_400 - 1, "90 days"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1 KiB"),
            (1_536, "1.5 KiB"),
            (64 << 30, "64 GiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
