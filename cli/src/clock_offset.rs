//! Durations as they are written on the command line: `8d`, `90m`, `-3h`, `1d12h`.

use std::str::FromStr;

/// How far the clock is shifted; negative is into the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockOffset {
    millis: i64,
}

impl ClockOffset {
    /// Signed milliseconds.
    pub fn as_millis(self) -> i64 {
        self.millis
    }
}

impl FromStr for ClockOffset {
    type Err = ClockOffsetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (sign, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest.is_empty() {
            return Err(ClockOffsetError);
        }
        let mut total: i64 = 0;
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .ok_or(ClockOffsetError)?;
            let (number, after) = rest.split_at(digits);
            let letters = after
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            total = number
                .parse::<i64>()
                .ok()
                .and_then(|number| number.checked_mul(millis_in(unit)?))
                .and_then(|part| total.checked_add(part))
                .ok_or(ClockOffsetError)?;
            rest = after;
        }
        Ok(Self {
            millis: sign * total,
        })
    }
}

/// The text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write numbers with their units, such as 8d, 90m, 1d12h or -3h (units: d, h, m, s, ms)")]
pub struct ClockOffsetError;

fn millis_in(unit: &str) -> Option<i64> {
    Some(match unit {
        "d" => 24 * 3_600_000,
        "h" => 3_600_000,
        "m" => 60_000,
        "s" => 1_000,
        "ms" => 1,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, millis) in [
            ("8d", 8 * 86_400_000),
            ("90m", 5_400_000),
            ("-3h", -10_800_000),
            ("+5s", 5_000),
            ("250ms", 250),
            ("1d12h", 129_600_000),
        ] {
            assert_eq!(text.parse(), Ok(ClockOffset { millis }), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "-",
            "5",
            "d",
            "5 d",
            "5w",
            "--5d",
            "1.5h",
            "99999999999999999999d",
            "9999999999999d",
            "5é",
        ] {
            assert_eq!(text.parse::<ClockOffset>(), Err(ClockOffsetError), "{text}");
        }
    }
}
