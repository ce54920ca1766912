//! Starts node, sender and phone, looks at the phone from outside, and compares.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use ailurus::{
    channel::AccessKind,
    client::{Client, Options},
    store::StorageKey,
};
use ailurus_bench::{harness::Failure, random::Random};
use ailurus_node::{Config, Node};
use tempfile::TempDir;

use super::{
    clock::Faster,
    link::{DEVICE, Link},
    phone::Counted,
};

/// True if the ledger agrees with what was seen.
pub fn run(link: Link, seconds: u64, faster: u32) -> Result<bool, Failure> {
    let folder = tempfile::tempdir()?;
    let clock = Faster::new(faster);
    link.far.enter()?;
    // Its threads are in the namespace of the one that makes them.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let listen = SocketAddr::new(link.far.address.into(), 0);
    let (node, sender) = runtime.block_on(far_side(&folder, listen, clock))?;
    let channel = *sender
        .channels()?
        .first()
        .map(|channel| &channel.id)
        .ok_or("no channel")?;
    let invitation = sender.link(&channel, AccessKind::Full, true)?;
    link.near.enter()?;
    let mut phone = Phone::start(&folder, &clock)?;
    phone.say(&format!("{}\n{}", node.link(), invitation.as_str()))?;
    let before = phone.hear()?;
    std::thread::sleep(REST);

    link.take();
    let bytes_before = interface(phone.id())?;
    let (end, chatter) = (
        Instant::now() + Duration::from_secs(seconds),
        sender.clone(),
    );
    let chat = runtime.spawn(async move {
        let mut random = Random::new(2, 0);
        loop {
            let wait = random.wait(BETWEEN_MESSAGES.as_secs_f64() / f64::from(faster));
            tokio::time::sleep(Duration::from_secs_f64(wait)).await;
            if Instant::now() + REST > end {
                return;
            }
            // A message that is not sent comes with the next one.
            let _ = chatter.send(&channel, "hello");
            let _ = chatter.poll().await;
        }
    });
    let awake = watch(phone.id(), end)?;
    let bytes = interface(phone.id())?;
    let packets = link.take();
    phone.say("stop")?;
    let after = phone.hear()?;
    phone.end()?;
    runtime.block_on(async {
        chat.abort();
        sender.shutdown().await;
        node.stop().await;
    });

    let hours = seconds as f64 * f64::from(faster) / 3_600.0;
    println!(
        "{hours:.1} hours in {seconds} s: woken {} times, {} messages, {} packets",
        after.woken,
        after.messages,
        packets.len()
    );
    let of = |part: fn(&Counted) -> u64| part(&after) - part(&before);
    let wakeups = of(|counted| counted.wakeups);
    let agreed = [
        compare("bytes sent", of(|c| c.sent), bytes.0 - bytes_before.0),
        compare(
            "bytes received",
            of(|c| c.received),
            bytes.1 - bytes_before.1,
        ),
        compare("wake-ups of the radio", wakeups, bursts(&packets)),
        compare("wake-ups of the process", wakeups, bursts(&awake)),
    ];
    if after.messages == 0 || wakeups < LEAST_WAKEUPS {
        println!("too little happened to say anything");
        return Ok(false);
    }
    Ok(agreed.into_iter().all(|agreed| agreed))
}

async fn far_side(
    folder: &TempDir,
    listen: SocketAddr,
    clock: Faster,
) -> Result<(Node, Client), Failure> {
    let config = Config::new(folder.path().join("node"), listen);
    let node = Node::start(config, Arc::new(clock))?;
    let options = Options {
        clock: Arc::new(clock),
        ..Options::default()
    };
    let key = StorageKey::from_bytes([1; 32]);
    let path = folder.path().join("sender");
    let sender = Client::create(&path, &key, "Bob", &[node.link().clone()], options)?;
    sender.create_channel("family")?;
    sender.poll().await?;
    Ok((node, sender))
}

/// The phone's process.
struct Phone {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Phone {
    fn start(folder: &TempDir, clock: &Faster) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(format!("--faster={}", clock.times))
            .arg("--phone")
            .arg(folder.path().join("phone"))
            .arg(clock.real.as_millis().to_string())
            .arg(clock.then.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().ok_or("a phone has no stdin")?;
        let stdout = child.stdout.take().ok_or("a phone has no stdout")?;
        Ok(Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
        })
    }

    fn id(&self) -> u32 {
        self.child.id()
    }

    fn say(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.stdin, "{text}")?;
        Ok(self.stdin.flush()?)
    }

    fn hear(&mut self) -> Result<Counted, Failure> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let told = serde_json::from_str(&line);
        Ok(told.map_err(|_| format!("the phone says {line:?}"))?)
    }

    fn end(mut self) -> Result<(), Failure> {
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the phone ended with {status}").into())
        }
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        // It has ended if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes sent and received by the interface in a process's namespace, IP headers included.
fn interface(process: u32) -> Result<(u64, u64), Failure> {
    let text = std::fs::read_to_string(format!("/proc/{process}/net/dev"))?;
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(DEVICE)?.strip_prefix(':'))
        .ok_or("the phone's namespace has no link")?;
    let numbers: Vec<u64> = line
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    // Eight columns of what was received, then those of what was sent.
    match (numbers.first(), numbers.get(8)) {
        (Some(received), Some(sent)) => Ok((*sent, *received)),
        _ => Err("the interface has no counters".into()),
    }
}

/// When the process was seen awake until `end`: one of its threads had waited for something once more.
fn watch(process: u32, end: Instant) -> Result<Vec<Instant>, Failure> {
    let mut seen = Vec::new();
    let mut before = switches(process)?;
    while Instant::now() < end {
        std::thread::sleep(LOOK);
        let now = switches(process)?;
        if now != before {
            seen.push(Instant::now());
            before = now;
        }
    }
    Ok(seen)
}

/// Voluntary context switches of all threads of a process.
fn switches(process: u32) -> Result<u64, Failure> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end meanwhile.
        let Ok(status) = std::fs::read_to_string(thread?.path().join("status")) else {
            continue;
        };
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sum += line.map_or(Ok(0), |count| count.trim().parse::<u64>())?;
    }
    Ok(sum)
}

/// How often something happened after silence. Wake-ups lie at least two seconds apart, also by the fast clock.
fn bursts(times: &[Instant]) -> u64 {
    let mut count = 0;
    let mut last: Option<Instant> = None;
    for at in times {
        if last.is_none_or(|last| at.duration_since(last) > SILENCE) {
            count += 1;
        }
        last = Some(*at);
    }
    count
}

fn compare(what: &str, ledger: u64, outside: u64) -> bool {
    let off = ledger as f64 / (outside as f64).max(1.0) - 1.0;
    // One wake-up of a few may lie on either side of the beginning or the end.
    let agrees = off.abs() <= TOLERANCE || ledger.abs_diff(outside) <= 1;
    println!(
        "{what:<24} ledger {ledger:>8}, outside {outside:>8}, {:+.1} %{}",
        off * 100.0,
        if agrees { "" } else { "  DIFFERS" }
    );
    agrees
}

const TOLERANCE: f64 = 0.1;
const LEAST_WAKEUPS: u64 = 10;
/// Until everything is quiet.
const REST: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);
/// A timer that was given up meanwhile still wakes the process a second later.
const SILENCE: Duration = Duration::from_millis(1_500);
/// By the fast clock, on average.
const BETWEEN_MESSAGES: Duration = Duration::from_secs(40 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_told_apart_by_silence() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let times = [at(0), at(500), at(1_200), at(2_800), at(2_810), at(9_000)];
        assert_eq!(bursts(&times), 3);
        assert_eq!(bursts(&[]), 0);
    }

    #[test]
    fn a_tenth_is_tolerated() {
        assert!(compare("test", 100, 100) && compare("test", 100, 91) && compare("test", 91, 100));
        assert!(!compare("test", 100, 89) && !compare("test", 0, 100));
        assert!(compare("test", 5, 6) && !compare("test", 5, 7));
    }
}
