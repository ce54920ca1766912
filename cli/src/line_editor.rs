//! A one-line editor over raw bytes of a terminal. It draws nothing itself and knows no device.

/// The line being typed.
#[derive(Default)]
pub struct LineEditor {
    line: String,
    /// Bytes of a character that is not complete yet.
    partial: Vec<u8>,
    escape: Escape,
}

/// What a byte did.
#[derive(Debug, PartialEq, Eq)]
pub enum Edit {
    /// Nothing that shows.
    None,
    /// The line looks different.
    Changed,
    /// Enter was pressed; the line starts anew.
    Line(String),
    /// Ctrl-D on an empty line.
    End,
}

impl LineEditor {
    /// The end of the line that fits into so many columns.
    pub fn visible(&self, columns: usize) -> &str {
        let mut used = 0;
        let mut start = self.line.len();
        for (index, c) in self.line.char_indices().rev() {
            used += width(c);
            if used > columns {
                break;
            }
            start = index;
        }
        self.line.get(start..).unwrap_or_default()
    }

    /// Takes one byte from the terminal.
    pub fn push(&mut self, byte: u8) -> Edit {
        if self.escape.swallows(byte) {
            return Edit::None;
        }
        match byte {
            b'\r' | b'\n' => {
                self.partial.clear();
                Edit::Line(std::mem::take(&mut self.line))
            }
            CTRL_D if self.line.is_empty() => Edit::End,
            BACKSPACE | DELETE => self.change(|line| {
                line.pop();
            }),
            CTRL_U => self.change(String::clear),
            CTRL_W => self.change(|line| {
                let kept = line.trim_end().rfind(' ').map_or(0, |space| space + 1);
                line.truncate(kept);
            }),
            CTRL_L => Edit::Changed,
            0..0x20 => Edit::None,
            _ => self.text(byte),
        }
    }

    fn change(&mut self, how: impl FnOnce(&mut String)) -> Edit {
        self.partial.clear();
        how(&mut self.line);
        Edit::Changed
    }

    fn text(&mut self, byte: u8) -> Edit {
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(text) => {
                self.line.push_str(text);
                self.partial.clear();
                Edit::Changed
            }
            Err(error) => {
                // Not UTF-8, rather than the beginning of a character.
                if error.error_len().is_some() {
                    self.partial.clear();
                }
                Edit::None
            }
        }
    }
}

/// Columns that a character takes: two for East Asian wide characters and emoji, roughly as UAX #11 has it.
fn width(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f => {
            2
        }
        0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

const CTRL_D: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const CTRL_L: u8 = 0x0c;
const CTRL_U: u8 = 0x15;
const CTRL_W: u8 = 0x17;
const ESC: u8 = 0x1b;
const DELETE: u8 = 0x7f;

/// Where in an escape sequence of a key (arrows and the like) the input is; they do nothing here.
#[derive(Default)]
enum Escape {
    #[default]
    Outside,
    Begun,
    Sequence,
}

impl Escape {
    fn swallows(&mut self, byte: u8) -> bool {
        let (next, swallowed) = match (&self, byte) {
            (_, ESC) => (Self::Begun, true),
            (Self::Outside, _) => (Self::Outside, false),
            (Self::Begun, b'[' | b'O') => (Self::Sequence, true),
            (Self::Begun, _) | (Self::Sequence, 0x40..=0x7e) => (Self::Outside, true),
            (Self::Sequence, _) => (Self::Sequence, true),
        };
        *self = next;
        swallowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> (LineEditor, Vec<Edit>) {
        let mut editor = LineEditor::default();
        let edits = bytes.iter().map(|&byte| editor.push(byte)).collect();
        (editor, edits)
    }

    #[test]
    fn a_line_is_typed_and_corrected() {
        let (editor, edits) = typed("hellp\x7fo 🐼\r".as_bytes());
        assert_eq!(edits.last(), Some(&Edit::Line("hello 🐼".to_owned())));
        assert_eq!(editor.visible(usize::MAX), "");
        assert_eq!(typed(b"one two \x17").0.visible(usize::MAX), "one ");
        assert_eq!(typed(b"one\x15two").0.visible(usize::MAX), "two");
    }

    #[test]
    fn keys_that_mean_nothing_here_leave_no_trace() {
        assert_eq!(
            typed(b"a\x1b[Ab\x1bOHc\x1b[3~d\x01\xff")
                .0
                .visible(usize::MAX),
            "abcd"
        );
    }

    #[test]
    fn the_end_is_only_at_an_empty_line() {
        assert_eq!(typed(b"\x04").1, [Edit::End]);
        assert_eq!(typed(b"a\x04").1, [Edit::Changed, Edit::None]);
    }

    #[test]
    fn a_long_line_shows_its_end() {
        let (editor, _) = typed("abc点点".as_bytes());
        assert_eq!(editor.visible(5), "c点点");
        assert_eq!(editor.visible(4), "点点");
        assert_eq!(editor.visible(3), "点");
        assert_eq!(editor.visible(80), "abc点点");
    }
}
