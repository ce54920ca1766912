//! Lines above, the prompt below: what is being typed is drawn again under whatever arrives.

use std::io::{self, IsTerminal as _, Write as _};

use crate::{
    line_editor::{Edit, LineEditor},
    output::{Style, indented, printable},
    terminal::{KeyMode, columns},
};

/// The terminal, or a pipe that gets lines only.
pub struct Screen {
    keys: Option<KeyMode>,
    interactive: bool,
    editor: LineEditor,
    style: Style,
}

impl Screen {
    /// Takes the terminal over if input and output are one that can erase a line.
    pub fn open() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let terminal = io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb;
        let keys = if terminal {
            KeyMode::enter().ok()
        } else {
            None
        };
        Self {
            interactive: keys.is_some(),
            keys,
            editor: LineEditor::default(),
            style: Style::of_stdout(),
        }
    }

    /// A person sits in front of it.
    pub fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Whether to colour.
    pub fn style(&self) -> Style {
        self.style
    }

    /// What somebody says, as a line.
    pub fn speech(&self, author: &str, text: &str, mark: &str) -> String {
        format!(
            "{} {}{mark}",
            self.style.bold(&format!("{}:", printable(author))),
            indented(text)
        )
    }

    /// Prints a line above the prompt. It must be printable already.
    pub fn say(&self, line: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.keys.is_some() {
            write!(out, "{ERASE_LINE}{line}\n{}", self.prompt())?;
        } else {
            writeln!(out, "{line}")?;
        }
        out.flush()
    }

    /// Prints a remark of the program itself: among the lines for a person, else on standard error.
    pub fn remark(&self, text: &str) -> io::Result<()> {
        if self.interactive {
            return self.say(&self.style.dim(&format!("* {}", printable(text))));
        }
        crate::output::note(text);
        Ok(())
    }

    /// Takes a key and shows what it did.
    pub fn press(&mut self, key: u8) -> io::Result<Edit> {
        let edit = self.editor.push(key);
        if matches!(edit, Edit::Changed | Edit::Line(_)) {
            let mut out = io::stdout().lock();
            write!(out, "{ERASE_LINE}{}", self.prompt())?;
            out.flush()?;
        }
        Ok(edit)
    }

    /// Gives the terminal back; lines may still be printed.
    pub fn close(&mut self) -> io::Result<()> {
        if self.keys.take().is_some() {
            let mut out = io::stdout().lock();
            write!(out, "{ERASE_LINE}")?;
            out.flush()?;
        }
        Ok(())
    }

    fn prompt(&self) -> String {
        let room = columns().saturating_sub(PROMPT.len() + 1);
        format!("{PROMPT}{}", printable(self.editor.visible(room)))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that cannot be written to needs no tidying.
        let _ = self.close();
    }
}

const PROMPT: &str = "> ";

/// Back to the first column, and erase to the end of the line (ECMA-48, EL).
const ERASE_LINE: &str = "\r\x1b[K";
