//! The table for people.

use super::{
    course::Outcome,
    picture::{figure, time},
};

/// Prints a line for each policy, in this order, then what ours spend it on.
pub fn print(rows: &[(String, Outcome, bool)]) {
    let width = rows.iter().map(|(title, ..)| title.chars().count());
    let width = width.max().unwrap_or(0);
    println!(
        "{:width$}  {:>8} {:>8} {:>9} {:>10} {:>8} {:>9} {:>9}",
        "policy", "wake/h", "wake/h", "radio up", "bytes", "mAh", "delay", "delay"
    );
    println!(
        "{:width$}  {:>8} {:>8} {:>9} {:>10} {:>8} {:>9} {:>9}",
        "", "7-23 h", "23-7 h", "s/day", "a day", "a day", "median", "95 %"
    );
    for (title, outcome, _) in rows {
        let delay = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), time);
        println!(
            "{title:width$}  {:>8.1} {:>8.1} {:>9.0} {:>10.0} {:>8} {:>9} {:>9}",
            outcome.wakeups_by_day,
            outcome.wakeups_by_night,
            outcome.high_s,
            outcome.bytes,
            figure(outcome.milliampere_hours),
            delay(outcome.delay_median_s),
            delay(outcome.delay_p95_s),
        );
    }
    if let Some((_, first, _)) = rows.first() {
        println!(
            "{} messages came; an idle radio takes {} mAh a day on top of each line",
            first.messages,
            figure(first.idle_milliampere_hours)
        );
    }
    println!("\nwhat it is spent on, a day");
    for (title, outcome, ours) in rows {
        if !ours {
            continue;
        }
        for share in &outcome.by_reason {
            println!(
                "{title:width$}  {:<13} {:>6.1} wake-ups {:>8} mAh {:>9.0} bytes",
                share.reason,
                share.wakeups,
                figure(share.milliampere_hours),
                share.bytes
            );
        }
    }
}
