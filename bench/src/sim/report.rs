//! What came of a simulated week, as JSON for machines and as lines and bars for people.

use serde::Serialize;

/// The outcome.
#[derive(Serialize)]
pub struct Report {
    /// What repeats this run.
    pub scale: Scale,
    /// Pairs of message and member who polled within 7 days of it, and how many of these have it.
    pub owed: u64,
    pub delivered: u64,
    /// Messages that a node acknowledged, and those that no node has taken yet.
    pub acknowledged: u64,
    pub waiting: u64,
    /// From writing to the member's phone, in minutes: mostly sleep.
    pub delay_minutes: Percentiles,
    /// From the member's first complete poll after the acknowledgement, in minutes: what the network adds, where nodes
    /// exchange every three hours what real ones push at once.
    pub late_minutes: Percentiles,
    pub polls: u64,
    pub polls_failed_over: u64,
    pub polls_without_node: u64,
    /// For each node.
    pub registrations: Percentiles,
    pub node_megabytes: Percentiles,
    pub peer_megabytes: Percentiles,
    pub evictions: u64,
    pub refusals: u64,
    pub failures: u64,
    pub nodes_emptied: u64,
    /// Nodes that were left because they withheld something: none does here.
    pub accused: u64,
    pub seconds: f64,
    pub peak_megabytes: f64,
    /// What the nodes' databases take at the end: memory too, where they lie in it.
    pub disk_megabytes: f64,
}

/// How large the world is, and its chances.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Scale {
    pub seed: u64,
    pub nodes: usize,
    pub clients: usize,
    pub channels: usize,
    pub days: u64,
    pub fail_rate: f64,
}

impl Report {
    /// Whether everything that was owed has arrived.
    pub fn is_complete(&self) -> bool {
        self.owed > 0 && self.delivered == self.owed
    }

    /// For people.
    pub fn print(&self) {
        let share = 100.0 * self.delivered as f64 / self.owed.max(1) as f64;
        println!(
            "delivered            {share:.4} % of {} (message, member who polled within 7 days)",
            self.owed
        );
        println!(
            "messages             {} acknowledged, {} waiting",
            self.acknowledged, self.waiting
        );
        self.delay_minutes.print("delay, minutes");
        self.late_minutes.print("late, minutes");
        println!(
            "polls                {}, {} went to another node, {} found none",
            self.polls, self.polls_failed_over, self.polls_without_node
        );
        self.registrations.print("clients a node");
        self.node_megabytes.print("client MB a node");
        self.peer_megabytes.print("peer MB a node");
        println!(
            "nodes                {} failures, {} came back empty, {} evictions, {} refusals, {} accused",
            self.failures, self.nodes_emptied, self.evictions, self.refusals, self.accused
        );
        println!(
            "run                  {:.0} s, {:.0} MB at most, and {:.0} MB of databases",
            self.seconds, self.peak_megabytes, self.disk_megabytes
        );
    }
}

/// How values are spread.
#[derive(Default, Serialize)]
pub struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Percentiles {
    /// Of these values; zeros if there are none.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = values.len().saturating_sub(1);
            let index = (share * last as f64).round() as usize;
            let value = values.get(index).copied().unwrap_or(0.0);
            (value * 100.0).round() / 100.0
        };
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: at(1.0),
        }
    }

    fn print(&self, name: &str) {
        println!(
            "{name:<20} {} median, {} at 90 %, {} at 99 %, {} at most",
            self.p50, self.p90, self.p99, self.max
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred_numbers() {
        let spread = Percentiles::of((0..=100).map(f64::from).collect());
        assert_eq!(
            [spread.p50, spread.p90, spread.p99, spread.max],
            [50.0, 90.0, 99.0, 100.0]
        );
        assert_eq!(Percentiles::of(Vec::new()).max, 0.0);
    }
}
