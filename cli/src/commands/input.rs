//! Arguments that may stand on standard input instead.

use std::io::{self, Read as _};

use zeroize::Zeroizing;

use crate::exit::CliError;

/// The argument, or standard input without its last line break if the argument is `-`.
///
/// # Errors
/// If standard input is no UTF-8, or longer than `limit` bytes.
pub fn or_stdin(argument: &str, limit: usize) -> Result<Zeroizing<String>, CliError> {
    if argument == "-" {
        return read(io::stdin().lock(), limit);
    }
    Ok(Zeroizing::new(argument.to_owned()))
}

fn read(input: impl io::Read, limit: usize) -> Result<Zeroizing<String>, CliError> {
    let ceiling = limit.saturating_add(LINE_BREAK + 1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(ceiling));
    input
        .take(u64::try_from(ceiling).unwrap_or(u64::MAX))
        .read_to_end(&mut bytes)?;
    let text = if let Some(rest) = bytes.strip_suffix(b"\r\n") {
        rest
    } else {
        bytes.strip_suffix(b"\n").unwrap_or(&bytes)
    };
    if text.len() > limit {
        return Err(CliError::StdinTooLong(limit));
    }
    match std::str::from_utf8(text) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(CliError::StdinNotText),
    }
}

/// The longest line break, in bytes.
const LINE_BREAK: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_is_taken_off() {
        for (input, text) in [
            ("a\n", "a"),
            ("a\n\n", "a\n"),
            ("a", "a"),
            ("a\r\n", "a"),
            ("\n", ""),
            ("12345\n", "12345"),
        ] {
            assert_eq!(*read(input.as_bytes(), 5).unwrap(), text);
        }
    }

    #[test]
    fn too_much_and_what_is_no_text_are_refused() {
        assert!(matches!(
            read(&b"123456"[..], 5),
            Err(CliError::StdinTooLong(5))
        ));
        assert!(matches!(
            read(&b"1234567890\n"[..], 5),
            Err(CliError::StdinTooLong(5))
        ));
        assert!(matches!(
            read(&b"\xff\n"[..], 5),
            Err(CliError::StdinNotText)
        ));
    }
}
