//! A phone's engine and a node's service, step by step as a poll over QUIC drives them.

use ailurus::{
    client::engine::{Change, Engine},
    sync::session::{Session as Conversation, Step},
    wire::{
        frame::encode_header,
        node::{Request, response},
        time::UnixMillis,
    },
};
use ailurus_bench::harness::Failure;
use ailurus_node::Session;
use prost::Message as _;

use super::{post::Brought, real::Node};

/// All there is to do: leases, what is new, announcements, the outbox.
pub fn talk(engine: &mut Engine, node: &Node, now: UnixMillis) -> Result<Brought, Failure> {
    let session = session(engine)?;
    let mut talk = Talk {
        engine,
        node,
        now,
        session,
        brought: Brought::default(),
    };
    talk.run()?;
    let mut brought = talk.brought;
    let carried = &mut brought.carried;
    carried.questions = carried.questions.saturating_sub(1);
    engine.expire(&[*node.link.key()], now)?;
    Ok(brought)
}

/// Seals and publishes what waits, without asking for anything: for those who only write.
pub fn publish(engine: &mut Engine, node: &Node, now: UnixMillis) -> Result<(), Failure> {
    let session = session(engine)?;
    let mut talk = Talk {
        engine,
        node,
        now,
        session,
        brought: Brought::default(),
    };
    talk.publish()
}

fn session(engine: &mut Engine) -> Result<Session, Failure> {
    let nodes = engine.nodes()?;
    let node = nodes.first().ok_or("the phone has no node")?;
    Ok(Session {
        pseudonym: node.pseudonym.public(),
        early: false,
        network: None,
        exporter: Some(EXPORTER),
    })
}

struct Talk<'a> {
    engine: &'a mut Engine,
    node: &'a Node,
    now: UnixMillis,
    session: Session,
    brought: Brought,
}

impl Talk<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let (key, now) = (*self.node.link.key(), self.now);
        let mut talk = Conversation::new(self.engine.work(&key, now)?);
        for _ in 0..STEPS {
            match talk.next() {
                Step::Idle => return Ok(()),
                Step::Register => {
                    for registration in self.engine.register(&key, &EXPORTER, now)? {
                        for answer in self.ask(&registration.request) {
                            let response::Kind::Registered(answer) = answer else {
                                return Err(
                                    format!("the node does not register: {answer:?}").into()
                                );
                            };
                            let told = self.engine.registered(&key, &registration, &answer, now)?;
                            self.hear(told);
                        }
                    }
                    talk.registered();
                }
                Step::Release => {
                    let request = self.engine.release(&key)?;
                    self.ask(&request);
                    self.engine.released(&key)?;
                    talk.released();
                }
                Step::Announce => {
                    self.announce()?;
                    talk.announced();
                }
                Step::Sync => {
                    self.sync(&mut talk)?;
                    talk.caught_up();
                    if talk.next() == Step::Idle {
                        talk.set_work(self.engine.work(&key, now)?);
                    }
                }
                Step::Push => {
                    if self.engine.push(&key, now)?.is_some() {
                        return Err("a phone has an endpoint that nobody set".into());
                    }
                    talk.pushed();
                }
                Step::Publish => {
                    self.publish()?;
                    talk.published();
                }
            }
        }
        Err("a conversation does not end".into())
    }

    fn sync(&mut self, talk: &mut Conversation) -> Result<(), Failure> {
        let (key, now) = (*self.node.link.key(), self.now);
        let request = self.engine.sync(&key, false)?;
        let mut batches = Vec::new();
        for answer in self.ask(&request) {
            match answer {
                response::Kind::Hello(hello) => {
                    let (expected, told) = self.engine.hello(&key, &hello, now)?;
                    talk.hello(hello.leases, expected);
                    self.hear(told);
                }
                response::Kind::Batch(batch) => batches.push(batch),
                response::Kind::Position(position) => {
                    let cursor = Some(position.cursor.as_ref());
                    let done = self.engine.ingest(&key, &batches, cursor, now)?;
                    batches.clear();
                    self.hear(done.changes);
                }
                response::Kind::CaughtUp(end) => {
                    self.engine.keep_tickets(&key, &end.tickets, now)?;
                }
                other => return Err(format!("the node answers a sync with {other:?}").into()),
            }
        }
        Ok(())
    }

    fn announce(&mut self) -> Result<(), Failure> {
        let (key, now) = (*self.node.link.key(), self.now);
        let mut waiting = self.engine.announce(&key, now)?;
        while let Some(announcing) = waiting.pop() {
            for answer in self.ask(&announcing.request) {
                match answer {
                    response::Kind::Announced(answer) => {
                        let more = self.engine.announced(&key, &announcing, &answer, now)?;
                        waiting.extend(more);
                    }
                    response::Kind::Refused(refused) => {
                        let reason = refused.reason();
                        self.engine
                            .announcing_refused(&key, &announcing, reason, now)?;
                    }
                    other => return Err(format!("the node hears nothing: {other:?}").into()),
                }
            }
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Failure> {
        let (key, now) = (*self.node.link.key(), self.now);
        let (publications, expired) = self.engine.publish(&key, now)?;
        self.hear(expired);
        for publication in publications {
            for answer in self.ask(&publication.request) {
                let response::Kind::Published(answer) = answer else {
                    return Err(format!("the node does not publish: {answer:?}").into());
                };
                if let Some(refusal) = answer.refusals.first() {
                    return Err(format!("the node refuses a message: {refusal:?}").into());
                }
                let told = self.engine.published(&key, &publication, &answer, now)?;
                self.hear(told);
            }
        }
        Ok(())
    }

    fn ask(&mut self, request: &Request) -> Vec<response::Kind> {
        let carried = &mut self.brought.carried;
        carried.sent += framed(request.encoded_len());
        carried.questions += 1;
        let answers = self
            .node
            .service
            .handle(&self.session, self.now, request.clone());
        let mut kinds = Vec::with_capacity(answers.len());
        for answer in answers {
            carried.received += framed(answer.encoded_len());
            kinds.extend(answer.kind);
        }
        kinds
    }

    fn hear(&mut self, changes: Vec<Change>) {
        for change in changes {
            if let Change::Received(message) = change {
                self.brought.sent.push(message.time);
            }
        }
    }
}

fn framed(body: usize) -> usize {
    encode_header(body).as_ref().len() + body
}

/// Stands for the connection's: the service checks leases against it.
const EXPORTER: [u8; 32] = [7; 32];
/// More than any conversation takes.
const STEPS: usize = 20;
