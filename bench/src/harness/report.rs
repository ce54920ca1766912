//! Where rows go: stdout, and a file in `target`.

use std::{io::Write as _, path::PathBuf};

use super::{Failure, beside, row::Row};

/// The report in the making.
pub struct Report {
    path: PathBuf,
    lines: Vec<String>,
}

impl Report {
    /// Into this file of `target`: a fresh one, or one in which rows will be replaced.
    pub fn open(file: &str, fresh: bool) -> Result<Self, Failure> {
        let folder = beside()?;
        let target = folder.parent().unwrap_or(&folder);
        let path = target.join(file);
        let lines = match std::fs::read_to_string(&path) {
            Ok(text) if !fresh => text.lines().map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        Ok(Self { path, lines })
    }

    /// Prints a row, and keeps it in place of an earlier one of its name.
    pub fn add(&mut self, row: &Row) -> Result<(), Failure> {
        let line = serde_json::to_string(row)?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{line}")?;
        stdout.flush()?;
        replace(&mut self.lines, row.name, line);
        let mut text = self.lines.join("\n");
        text.push('\n');
        std::fs::write(&self.path, text)?;
        Ok(())
    }
}

fn replace(lines: &mut Vec<String>, name: &str, line: String) {
    let named = |line: &String| {
        serde_json::from_str::<serde_json::Value>(line).is_ok_and(|row| row["name"] == name)
    };
    match lines.iter_mut().find(|line| named(line)) {
        Some(earlier) => *earlier = line,
        None => lines.push(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_replaces_its_own_line_only() {
        let mut lines: Vec<String> = vec![r#"{"name":"a"}"#.into(), r#"{"name":"ab"}"#.into()];
        replace(&mut lines, "a", r#"{"name":"a","ok":true}"#.into());
        replace(&mut lines, "c", r#"{"name":"c"}"#.into());
        assert_eq!(
            lines,
            [
                r#"{"name":"a","ok":true}"#,
                r#"{"name":"ab"}"#,
                r#"{"name":"c"}"#
            ]
        );
    }
}
