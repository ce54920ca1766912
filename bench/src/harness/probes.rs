//! Polls by datagram in great number: tickets made in process, and a generator that only sends and receives while it is
//! timed.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use ailurus::{
    channel::{NodeLink, SealedTicket, Standing, Ticket, TicketSecret, probe::Asked},
    crypto::SeededEntropy,
    wire::{
        limits::{PROBE_LEN, TICKET_LEN},
        node::{Request, Sync, request, response},
        probe::Datagram,
    },
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    Failure,
    clock::BenchClock,
    fill::{Filling, pseudonym, session},
    process::{say, told},
};

/// How one round of all clients went.
#[derive(Serialize, Deserialize)]
pub struct Round {
    /// Questions sent.
    pub sent: u64,
    /// Answers received that open.
    pub answered: u64,
    /// Of these, answers that there is nothing.
    pub nothing: u64,
    /// From the first question to the last answer.
    pub seconds: f64,
}

impl Round {
    /// Answers a second.
    pub fn per_s(&self) -> f64 {
        self.answered as f64 / self.seconds
    }

    /// Answers, of as many as were asked.
    pub fn share(&self) -> f64 {
        self.answered as f64 / self.sent as f64
    }
}

/// Lets each of the first `clients` sync with the node on a store, and writes a ticket of each to a file.
pub fn write_tickets(
    filling: &Filling,
    clients: usize,
    clock: BenchClock,
    file: &Path,
) -> Result<(), Failure> {
    let each = clients.div_ceil(THREADS);
    let parts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let part = thread * each..clients.min((thread + 1) * each);
                scope.spawn(move || tickets(filling, part, clock))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread ended in a panic")?)
            .collect::<Result<Vec<_>, Failure>>()
    })?;
    Ok(std::fs::write(file, parts.concat())?)
}

fn tickets(
    filling: &Filling,
    clients: std::ops::Range<usize>,
    clock: BenchClock,
) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::with_capacity(clients.len() * ROW);
    for client in clients {
        let request = Request {
            kind: Some(request::Kind::Sync(Sync {
                cursor: Bytes::new(),
                follow: false,
            })),
        };
        let session = session(&pseudonym(client));
        let mut answers = filling.service().handle(&session, clock.now(), request);
        let Some(response::Kind::CaughtUp(end)) = answers.pop().and_then(|end| end.kind) else {
            return Err("a sync did not end".into());
        };
        let ticket = end.tickets.first().ok_or("the node gave no ticket")?;
        bytes.extend_from_slice(&ticket.sealed);
        bytes.extend_from_slice(&ticket.secret);
    }
    Ok(bytes)
}

/// In a role: every client of the file asks once a round, until there is nothing more to be told. Each round is told to
/// begin, so that the questions are made before.
pub fn generate(node: &NodeLink, file: &Path, core: Option<usize>) -> Result<(), Failure> {
    if let Some(core) = core {
        pin(std::process::id(), core)?;
    }
    let node = SocketAddr::new(node.host().parse()?, node.port());
    let sockets = sockets()?;
    let bytes = std::fs::read(file)?;
    let (rows, _) = bytes.as_chunks::<ROW>();
    let mut tickets: Vec<Ticket> = rows.iter().map(ticket).collect();
    let mut entropy = SeededEntropy::from_u64(u64::from(std::process::id()));
    loop {
        let asked = tickets.iter().map(|ticket| ticket.ask(&mut entropy));
        let (questions, asked): (Vec<Datagram>, Vec<Asked>) = asked.unzip();
        if !told()? {
            return Ok(());
        }
        let begun = Instant::now();
        let answers = exchange(&sockets, node, &questions)?;
        let seconds = begun.elapsed().as_secs_f64();
        // Answers of one socket come in the order of its questions, but for those that are lost or had to wait.
        let mut round = Round {
            sent: questions.len() as u64,
            answered: 0,
            nothing: 0,
            seconds,
        };
        for (burst, answers) in answers.iter().enumerate() {
            let first = burst * BURST;
            for answer in answers {
                let mine = first..questions.len().min(first + BURST);
                let opened = mine
                    .filter_map(|client| Some((client, asked[client].open(answer)?)))
                    .next();
                let Some((client, (standing, next))) = opened else {
                    continue;
                };
                round.answered += 1;
                round.nothing += u64::from(standing == Standing::Nothing);
                tickets[client] = next;
            }
        }
        say(&round)?;
    }
}

/// Sends all questions, so many under way at once, in bursts; the answers by burst.
fn exchange(
    sockets: &[UdpSocket],
    node: SocketAddr,
    questions: &[Datagram],
) -> Result<Vec<Vec<Datagram>>, Failure> {
    let mut bursts = questions.chunks(BURST).enumerate();
    let mut answers: Vec<Vec<Datagram>> = vec![Vec::new(); questions.len().div_ceil(BURST)];
    let mut waiting: VecDeque<(usize, usize)> = VecDeque::new();
    let mut under_way = 0;
    let mut progress = Instant::now();
    let mut buffer = [0; 2 * PROBE_LEN];
    loop {
        while under_way < UNDER_WAY
            && let Some((burst, questions)) = bursts.next()
        {
            for question in questions {
                sockets[burst % sockets.len()].send_to(question, node)?;
            }
            waiting.push_back((burst, questions.len()));
            under_way += questions.len();
        }
        let Some((burst, missing)) = waiting.front_mut() else {
            return Ok(answers);
        };
        match sockets[*burst % sockets.len()].recv_from(&mut buffer) {
            Ok((length, _)) => {
                let answer = Datagram::try_from(&buffer[..length])?;
                answers[*burst].push(answer);
                *missing -= 1;
                under_way -= 1;
                progress = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if progress.elapsed() > LOST {
                    under_way -= *missing;
                    *missing = 0;
                    progress = Instant::now();
                }
                std::thread::yield_now();
            }
            Err(error) => return Err(error.into()),
        }
        if *missing == 0 {
            waiting.pop_front();
        }
    }
}

/// Sockets of many networks of this machine, so that the limit for each stays far away.
fn sockets() -> Result<Vec<UdpSocket>, Failure> {
    (0..NETWORKS)
        .map(|network| {
            let from = Ipv4Addr::new(127, 1, network, 1);
            let socket = UdpSocket::bind((from, 0))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .collect()
}

/// Lets a process run on one core only, with all its threads.
pub fn pin(process: u32, core: usize) -> Result<(), Failure> {
    let pinned = Command::new("taskset")
        .args(["-a", "-p", "-c", &core.to_string(), &process.to_string()])
        .output()
        .map_err(|error| format!("{error}: processes are pinned by taskset, of util-linux"))?;
    if pinned.status.success() {
        Ok(())
    } else {
        Err(format!(
            "there is no core {core}: {}",
            String::from_utf8_lossy(&pinned.stderr)
        )
        .into())
    }
}

fn ticket(row: &[u8; ROW]) -> Ticket {
    let (sealed, secret) = row.split_at(TICKET_LEN);
    Ticket {
        sealed: SealedTicket::try_from(sealed).expect("a row"),
        secret: TicketSecret::try_from(secret).expect("a row"),
    }
}

const ROW: usize = TICKET_LEN + 32;
const THREADS: usize = 2;
/// Source networks, 127.1.0.0/24 and those that follow.
const NETWORKS: u8 = 200;
/// Questions sent from one socket in a row.
const BURST: usize = 8;
/// Questions under way at once: what a socket's buffer of the system's default size holds.
const UNDER_WAY: usize = 192;
/// After this time without any answer the oldest burst is given up.
const LOST: Duration = Duration::from_millis(250);
