//! Polls by datagram on the node's socket: what is in memory is answered where packets are read, the rest by a thread
//! that may wait for the disk.

use std::{
    io,
    sync::{
        Arc, Weak,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use ailurus::{
    net::{ProbeHandler, ProbePath, ProbeSender},
    wire::{probe::Datagram, time::Clock},
};

use crate::service::{Probed, Service, Waiting};

/// Answers questions. The socket keeps it, so it does not keep the store.
pub(crate) struct Answering {
    service: Weak<Service>,
    clock: Arc<dyn Clock>,
    waiting: SyncSender<Message>,
}

/// The end at which those come out that wait for the database.
pub(crate) struct Questions {
    waiting: Receiver<Message>,
    stop: SyncSender<Message>,
}

/// The thread that reads from the database.
pub(super) struct Loading {
    stop: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
}

enum Message {
    Load(ProbePath, Box<Waiting>),
    Stop,
}

impl Answering {
    /// Somebody who answers, and what waits for [`Loading::start`].
    pub(crate) fn new(service: &Arc<Service>, clock: Arc<dyn Clock>) -> (Self, Questions) {
        let (waiting, out) = sync_channel(WAITING);
        let answering = Self {
            service: Arc::downgrade(service),
            clock,
            waiting: waiting.clone(),
        };
        let questions = Questions {
            waiting: out,
            stop: waiting,
        };
        (answering, questions)
    }
}

impl ProbeHandler for Answering {
    fn answer(&self, path: &ProbePath, question: &Datagram) -> Option<Datagram> {
        let service = self.service.upgrade()?;
        match service.probe(path.remote.ip(), self.clock.now(), question) {
            Probed::Silent => None,
            Probed::Answer(answer) => Some(answer),
            Probed::Load(waiting) => {
                let message = Message::Load(*path, waiting);
                if let Err(TrySendError::Full(_)) = self.waiting.try_send(message) {
                    service.metrics().probes_dropped.inc();
                }
                None
            }
        }
    }
}

impl Loading {
    /// Starts the thread.
    pub(super) fn start(
        questions: Questions,
        sender: ProbeSender,
        service: Arc<Service>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let Questions { waiting, stop } = questions;
        let thread = thread::Builder::new()
            .name("probes".into())
            .spawn(move || load(&waiting, &sender, &service, clock.as_ref()))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Ends the thread behind what waits, and gives it to be waited for.
    pub(super) fn stop(&mut self) -> Option<JoinHandle<()>> {
        // Full only while the thread works, which makes room; gone only if it has ended.
        let _ = self.stop.send(Message::Stop);
        self.thread.take()
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        // If there is no room, the thread ends with the socket.
        let _ = self.stop.try_send(Message::Stop);
    }
}

fn load(waiting: &Receiver<Message>, sender: &ProbeSender, service: &Service, clock: &dyn Clock) {
    while let Ok(Message::Load(path, waiting)) = waiting.recv() {
        if let Some(answer) = service.load_probe(clock.now(), &waiting) {
            sender.send(&path, &answer);
        }
    }
}

/// Questions that may wait for the database.
const WAITING: usize = 4_096;
