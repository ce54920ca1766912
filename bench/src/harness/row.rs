//! Rows: what is measured, what must be reached, and what came out.

use std::{future::Future, pin::Pin, time::Duration};

use serde::Serialize;
use tokio::time::timeout;

use super::{
    Failure,
    stats::{Sample, significant},
};

/// What a row is called and must reach.
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// The unit of value, limit and floor.
    pub unit: &'static str,
    /// What must be reached.
    pub limit: Limit,
}

/// A figure to stay below or to exceed.
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
    /// Only reported.
    None,
}

impl Limit {
    fn figure(&self) -> Option<f64> {
        match self {
            Self::AtMost(limit) | Self::AtLeast(limit) => Some(*limit),
            Self::None => None,
        }
    }
}

/// Rows that are measured together.
pub struct Suite {
    /// Its rows.
    pub specs: &'static [Spec],
    /// After this the measurement is given up.
    pub patience: Duration,
    /// Measures them.
    pub run: fn() -> Measuring,
}

/// A measurement under way.
pub type Measuring = Pin<Box<dyn Future<Output = Result<Vec<Measured>, Failure>> + Send>>;

/// One row, measured.
pub struct Measured {
    name: &'static str,
    value: f64,
    floor: Option<f64>,
    note: String,
    fault: Option<String>,
}

impl Measured {
    /// The median of a sample.
    pub fn new(name: &'static str, sample: &Sample) -> Self {
        Self {
            name,
            value: sample.median(),
            floor: None,
            note: sample.to_string(),
            fault: None,
        }
    }

    /// What the same work costs without what is measured.
    pub fn floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self
    }

    /// Adds to the note.
    pub fn note(mut self, text: &str) -> Self {
        self.note.push_str("; ");
        self.note.push_str(text);
        self
    }

    /// Fails the row, whatever its value.
    pub fn fault(mut self, fault: Option<String>) -> Self {
        self.fault = self.fault.or(fault);
        self
    }
}

/// A line of the report.
#[derive(Serialize)]
pub struct Row {
    pub name: &'static str,
    value: Option<f64>,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<f64>,
    pub ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<f64>,
    note: String,
}

impl Suite {
    /// Measures; whatever goes wrong, there is a row for each spec.
    pub fn measure(&self) -> Vec<Row> {
        let measured = self.run_isolated();
        let (measured, failure) = match measured {
            Ok(measured) => (measured, "it was not measured".to_owned()),
            Err(error) => (Vec::new(), error.to_string()),
        };
        self.specs
            .iter()
            .map(|spec| {
                let found = measured.iter().find(|row| row.name == spec.name);
                found.map_or_else(|| spec.failed(&failure), |row| spec.judged(row))
            })
            .collect()
    }

    /// On a runtime of its own, so that a panic or a hang ends only this suite.
    fn run_isolated(&self) -> Result<Vec<Measured>, Failure> {
        let runtime = tokio::runtime::Runtime::new()?;
        let (run, patience) = (self.run, self.patience);
        let task = runtime.spawn(async move { timeout(patience, run()).await });
        let done = runtime.block_on(task);
        runtime.shutdown_background();
        match done {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(format!("it took longer than {} s", patience.as_secs()).into()),
            Err(panic) => Err(format!("it ended early: {panic}").into()),
        }
    }
}

impl Spec {
    fn judged(&self, row: &Measured) -> Row {
        let value = significant(row.value);
        let (reached, direction) = match self.limit {
            Limit::AtMost(limit) => (value <= limit, "at most the limit"),
            Limit::AtLeast(limit) => (value >= limit, "at least the limit"),
            Limit::None => (true, "reported"),
        };
        let mut note = format!("{direction}; {}", row.note);
        if let Some(fault) = &row.fault {
            note.push_str("; FAULT: ");
            note.push_str(fault);
        }
        Row {
            name: self.name,
            value: Some(value),
            unit: self.unit,
            limit: self.limit.figure(),
            ok: reached && row.fault.is_none(),
            floor: row.floor.map(significant),
            note,
        }
    }

    fn failed(&self, failure: &str) -> Row {
        Row {
            name: self.name,
            value: None,
            unit: self.unit,
            limit: self.limit.figure(),
            ok: false,
            floor: None,
            note: format!("FAULT: {failure}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[Spec] = &[
        Spec {
            name: "fast",
            unit: "s",
            limit: Limit::AtMost(1.0),
        },
        Spec {
            name: "many",
            unit: "1/s",
            limit: Limit::AtLeast(2.0),
        },
    ];

    fn suite(run: fn() -> Measuring) -> Vec<(bool, Option<f64>, String)> {
        let suite = Suite {
            specs: SPECS,
            patience: Duration::from_millis(200),
            run,
        };
        let rows = suite.measure();
        rows.into_iter()
            .map(|row| (row.ok, row.value, row.note))
            .collect()
    }

    fn measured(name: &'static str, value: f64) -> Measured {
        Measured::new(name, &Sample::new(vec![value]).expect("a value"))
    }

    #[test]
    fn limits_have_a_direction() {
        let rows =
            suite(|| Box::pin(async { Ok(vec![measured("many", 3.0), measured("fast", 0.5)]) }));
        assert!(rows.iter().all(|row| row.0), "{rows:?}");
        let rows =
            suite(|| Box::pin(async { Ok(vec![measured("many", 1.0), measured("fast", 1.5)]) }));
        assert!(rows.iter().all(|row| !row.0), "{rows:?}");
    }

    #[test]
    fn a_fault_fails_the_row() {
        let rows = suite(|| {
            let row = measured("fast", 0.5).fault(Some("one was missed".into()));
            Box::pin(async { Ok(vec![row]) })
        });
        assert!(!rows[0].0 && rows[0].2.contains("one was missed"));
        assert_eq!(rows[1].1, None);
    }

    #[test]
    fn errors_panics_and_hangs_still_give_rows() {
        let failed = |rows: Vec<(bool, Option<f64>, String)>, why: &str| {
            assert_eq!(rows.len(), 2);
            for (ok, value, note) in rows {
                assert!(!ok && value.is_none() && note.contains(why), "{note}");
            }
        };
        failed(
            suite(|| Box::pin(async { Err("no node".into()) })),
            "no node",
        );
        failed(suite(|| Box::pin(async { panic!("bug") })), "ended early");
        failed(suite(|| Box::pin(std::future::pending())), "longer than");
    }
}
