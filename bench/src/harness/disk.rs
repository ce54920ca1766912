//! How fast the disk is, without which a figure that contains an fsync says little.

use std::{fs::File, io::Write as _, path::Path, time::Instant};

use super::{Failure, stats::Sample};

/// Milliseconds that 4 KiB take to the disk in `folder`, for the note of a row.
pub fn sync_ms(folder: &Path) -> Result<f64, Failure> {
    let mut file = File::create(folder.join("sync"))?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[0; 4_096])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(Sample::new(times).ok_or("no sync")?.median())
}

const SYNCS: usize = 50;
