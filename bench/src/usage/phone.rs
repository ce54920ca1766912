//! The client process: sleeps until its plan says so, polls, and sleeps again, as an app in the background does.

use std::{
    io::{BufRead as _, Write as _},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};

use ailurus::{
    channel::{Link, NodeLink},
    client::{Client, NetworkKind, NetworkState, Options, Preference},
    store::StorageKey,
    wire::time::{Clock as _, UnixMillis},
};
use ailurus_bench::{harness::Failure, random::Random};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

use super::clock::Faster;

/// What the ledger has counted so far.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Counted {
    pub sent: u64,
    pub received: u64,
    pub wakeups: u64,
    /// Messages that came, and times that it was woken: for the report.
    pub messages: u64,
    pub woken: u64,
}

/// Plays the phone until stdin says otherwise. Reads the node's link and the channel's, a line each.
pub fn play(arguments: &[PathBuf], times: u32) -> Result<(), Failure> {
    let [folder, real, then] = arguments else {
        return Err("a phone has a folder and two times".into());
    };
    let millis = |path: &PathBuf| -> Result<UnixMillis, Failure> {
        let text = path.to_str().ok_or("a time is a number")?;
        Ok(UnixMillis::from_millis(text.parse()?))
    };
    let clock = Faster {
        real: millis(real)?,
        then: millis(then)?,
        times,
    };
    let (node, link) = (line()?, line()?);
    // A thread of the pool that ends would be a wake-up of the process.
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_keep_alive(Duration::from_secs(86_400))
        .enable_all()
        .build()?;
    let (stop, stopped) = mpsc::channel();
    let client = runtime.block_on(async {
        let options = Options {
            clock: Arc::new(clock),
            ..Options::default()
        };
        let key = StorageKey::from_bytes([1; 32]);
        let node: NodeLink = node.trim().parse()?;
        let client = Client::create(folder, &key, "Alice", &[node], options)?;
        client.set_network(NetworkState {
            kind: NetworkKind::Cellular,
            ..NetworkState::default()
        });
        client.set_preference(Preference::Fast)?;
        let link: Link = link.trim().parse()?;
        client.join(&link, None)?;
        for _ in 0..SETTLING {
            client.poll().await?;
        }
        Ok::<_, Failure>(client)
    })?;
    tell(counted(&client, 0, 0)?)?;
    std::thread::spawn(move || {
        // Whatever comes, also the end of stdin.
        let _ = line();
        let _ = stop.send(());
    });
    let told = live(&client, &clock, &runtime, &stopped)?;
    tell(told)?;
    runtime.block_on(client.shutdown());
    Ok(())
}

/// Waits without the runtime, whose timers wake the process every four seconds: an app is woken by its platform.
fn live(
    client: &Client,
    clock: &Faster,
    runtime: &Runtime,
    stopped: &mpsc::Receiver<()>,
) -> Result<Counted, Failure> {
    let mut random = Random::new(1, 0);
    let (mut messages, mut woken) = (0, 0);
    loop {
        let wakeup = client.next_wakeup().ok_or("a phone online has a plan")?;
        let at = wakeup.at.after(wakeup.slack.mul_f64(random.unit()));
        let wait = clock.until(at.max(clock.now()));
        if !matches!(stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout)) {
            return counted(client, messages, woken);
        }
        let report = runtime.block_on(client.sync_once(BUDGET))?;
        messages += report.messages.len() as u64;
        woken += 1;
    }
}

fn counted(client: &Client, messages: u64, woken: u64) -> Result<Counted, Failure> {
    let total = client.usage(0)?.week.total;
    Ok(Counted {
        sent: total.bytes_sent,
        received: total.bytes_received,
        wakeups: total.wakeups,
        messages,
        woken,
    })
}

fn tell(counted: Counted) -> Result<(), Failure> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", serde_json::to_string(&counted)?)?;
    stdout.flush()?;
    Ok(())
}

fn line() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}

const SETTLING: u32 = 4;
const BUDGET: Duration = Duration::from_secs(20);
