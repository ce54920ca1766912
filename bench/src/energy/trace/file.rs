//! A trace from a file: a JSON object a line, `{"t": 3.5, "bytes": 120}`.

use std::time::Duration;

use ailurus::wire::limits::MAX_TEXT;
use serde_json::Value;

use super::Message;

/// What is wrong with a trace, and where.
#[derive(Debug, PartialEq, Eq)]
pub enum TraceError {
    /// A line is no JSON object; write one a line.
    Line { line: usize, why: String },
    /// A field is missing or has no place in a trace.
    Field {
        line: usize,
        field: &'static str,
        why: String,
    },
    /// There is no message in it.
    Empty,
}

impl std::error::Error for TraceError {}

impl std::fmt::Display for TraceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line { line, why } => write!(f, "line {line}: {why}"),
            Self::Field { line, field, why } => write!(f, "line {line}, field `{field}`: {why}"),
            Self::Empty => f.write_str("the trace has no message; write one a line"),
        }
    }
}

/// Messages in order of time. Empty lines and other fields are passed over.
pub fn parse(text: &str) -> Result<Vec<Message>, TraceError> {
    let mut messages = Vec::new();
    for (index, row) in text.lines().enumerate() {
        if row.trim().is_empty() {
            continue;
        }
        messages.push(message(index + 1, row)?);
    }
    if messages.is_empty() {
        return Err(TraceError::Empty);
    }
    messages.sort_by_key(|message| message.at);
    Ok(messages)
}

fn message(line: usize, row: &str) -> Result<Message, TraceError> {
    let value: Value = serde_json::from_str(row).map_err(|error| TraceError::Line {
        line,
        why: format!("this is no JSON ({error})"),
    })?;
    let Value::Object(fields) = value else {
        return Err(TraceError::Line {
            line,
            why: "this is no JSON object".to_owned(),
        });
    };
    let wrong = |field, why: String| TraceError::Field { line, field, why };
    let field = |name: &'static str| {
        fields
            .get(name)
            .ok_or_else(|| wrong(name, "it is missing".to_owned()))
    };
    let seconds = field("t")?;
    let at = seconds
        .as_f64()
        .filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds))
        .ok_or_else(|| {
            let why = format!("{seconds} is not a number of seconds from 0 to {MAX_SECONDS}");
            wrong("t", why)
        })?;
    let size = field("bytes")?;
    let bytes = size
        .as_u64()
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|bytes| (1..=MAX_TEXT).contains(bytes))
        .ok_or_else(|| {
            let why = format!("{size} is not a whole number of bytes from 1 to {MAX_TEXT}");
            wrong("bytes", why)
        })?;
    Ok(Message {
        at: Duration::from_secs_f64(at),
        bytes,
    })
}

/// A year: nothing longer is simulated.
const MAX_SECONDS: f64 = 366.0 * 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_in_order_of_time() {
        let text = "{\"t\": 20, \"bytes\": 5, \"from\": \"Bob\"}\n\n{\"t\":1.5,\"bytes\":200}\n";
        let messages = parse(text).unwrap();
        assert_eq!(
            messages,
            [
                Message {
                    at: Duration::from_millis(1_500),
                    bytes: 200
                },
                Message {
                    at: Duration::from_secs(20),
                    bytes: 5
                }
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_named_by_line_and_field() {
        let told = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(
            told("{\"t\":1,\"bytes\":2}\n{\"bytes\":2}"),
            "line 2, field `t`: it is missing"
        );
        for t in ["-1", "\"1\"", "1e300", "null"] {
            let text = format!("{{\"t\":{t},\"bytes\":2}}");
            assert!(told(&text).starts_with("line 1, field `t`: "), "{t}");
        }
        for bytes in ["0", "-3", "1.5", "99999999999", "[]"] {
            let text = format!("\n{{\"t\":1,\"bytes\":{bytes}}}");
            assert!(
                told(&text).starts_with("line 2, field `bytes`: "),
                "{bytes}"
            );
        }
        assert!(told("{\"t\":1,").starts_with("line 1: this is no JSON ("));
        assert_eq!(told("[1, 2]"), "line 1: this is no JSON object");
        assert!(told("\n \n").starts_with("the trace has no message"));
    }
}
