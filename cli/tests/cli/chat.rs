//! Two people chat through a node, also when one of them was away.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::world::{Phone, World};

#[test]
fn two_profiles_chat() {
    let world = World::start();
    let (alice, bob, channel) = world.pair();
    let id = alice.ok(&["send", "Bamboo", "Hello Bob"]);
    assert_eq!(id.len(), 64);
    let report = bob.json(&["sync", "--json"]);
    assert_eq!(report.len(), 1);
    assert_eq!(report[0]["messages"][0]["text"], "Hello Bob");
    assert_eq!(report[0]["messages"][0]["id"], Value::from(id.as_str()));

    bob.ok(&["send", &channel[..8], "Hello Alice"]);
    alice.ok(&["sync"]);
    for phone in [&alice, &bob] {
        assert_eq!(phone.texts("Bamboo"), ["Hello Bob", "Hello Alice"]);
    }
    let shown = bob.ok(&["read", "Bamboo"]);
    assert!(
        shown
            .lines()
            .next()
            .unwrap()
            .ends_with("Z Alice: Hello Bob"),
        "{shown}"
    );
    assert!(
        shown
            .lines()
            .nth(1)
            .unwrap()
            .ends_with("Z Bob: Hello Alice ✓"),
        "{shown}"
    );
}

#[test]
fn what_was_missed_comes_in_order_and_once() {
    let world = World::start();
    let (alice, bob, _) = world.pair();
    let sent = ["one", "two", "three"];
    for text in sent {
        alice.ok(&["send", "Bamboo", text]);
    }
    assert_eq!(bob.texts("Bamboo"), [""; 0], "read touches no network");
    bob.ok(&["sync"]);
    assert_eq!(bob.json(&["channel", "list", "--json"])[0]["unread"], 3);
    assert_eq!(bob.texts("Bamboo"), sent);
    assert_eq!(
        bob.json(&["channel", "list", "--json"])[0]["unread"],
        0,
        "read marks as read"
    );
    let again = bob.json(&["sync", "--json"]);
    assert_eq!(again[0]["messages"].as_array().unwrap().len(), 0);
    assert_eq!(bob.texts("Bamboo"), sent);
}

#[test]
fn follow_prints_what_comes_until_interrupted() {
    let world = World::start();
    let (alice, bob, _) = world.pair();
    alice.ok(&["send", "Bamboo", "before"]);
    let mut follow = Talk::start(&bob, &["read", "Bamboo", "--json", "--follow"]);
    follow.expect("\"text\":\"before\"");
    alice.ok(&["send", "Bamboo", "while"]);
    follow.expect("\"text\":\"while\"");
    bob.ok(&["send", "Bamboo", "from another process of the same profile"]);
    follow.expect("from another process");
    follow.interrupt();
    assert_eq!(follow.end(), Some(0));
}

#[test]
fn chat_runs_over_pipes() {
    let world = World::start();
    let (alice, bob, _) = world.pair();
    alice.ok(&["send", "Bamboo", "history"]);
    bob.ok(&["sync"]);
    let mut at_alice = Talk::start(&alice, &["chat", "Bamboo"]);
    let mut at_bob = Talk::start(&bob, &["chat", "Bamboo"]);
    at_alice.expect("Alice: history ✓");
    at_bob.expect("Alice: history");
    at_alice.type_line("Hello from the terminal");
    at_alice.expect("Alice: Hello from the terminal ✓");
    at_bob.expect("Alice: Hello from the terminal");
    at_bob.type_line("//slash");
    at_bob.expect("Bob: /slash ✓");
    at_alice.expect("Bob: /slash");
    at_alice.type_line("/members");
    at_alice.expect("Bob");
    at_alice.type_line("last words");
    at_alice.type_line("/quit");
    assert_eq!(at_alice.end(), Some(0));
    at_bob.expect("Alice: last words");
    drop(at_bob.input.take());
    assert_eq!(at_bob.end(), Some(0), "the end of input ends the chat");
    assert_eq!(
        bob.texts("Bamboo"),
        ["history", "Hello from the terminal", "/slash", "last words"]
    );
}

#[test]
fn two_processes_use_one_folder_at_once() {
    let world = World::start();
    let (alice, bob, _) = world.pair();
    let texts: Vec<String> = (0..6).map(|number| format!("at once {number}")).collect();
    thread::scope(|scope| {
        let runs: Vec<_> = texts
            .iter()
            .map(|text| scope.spawn(|| alice.ok(&["send", "Bamboo", text])))
            .collect();
        for run in runs {
            assert_eq!(run.join().unwrap().len(), 64);
        }
    });
    bob.ok(&["sync"]);
    for phone in [&alice, &bob] {
        let mut seen = phone.texts("Bamboo");
        seen.sort();
        assert_eq!(seen, texts);
    }
    let members = bob.json(&["channel", "members", "Bamboo", "--json"]);
    assert!(
        members
            .iter()
            .all(|member| member["forked"] == false && member["missing"] == 0),
        "{members:?}"
    );
}

/// A process that is talked to.
struct Talk {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
}

impl Talk {
    fn start(phone: &Phone, arguments: &[&str]) -> Self {
        let mut child = phone
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = read_lines(child.stdout.take().unwrap());
        Self {
            input: child.stdin.take(),
            child,
            lines,
        }
    }

    /// Waits for a line that holds this.
    fn expect(&mut self, text: &str) {
        let mut others = Vec::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(20)) {
                Ok(line) if line.contains(text) => return,
                Ok(line) => others.push(line),
                Err(_) => {
                    let _ = self.child.kill();
                    let mut errors = String::new();
                    self.child
                        .stderr
                        .take()
                        .unwrap()
                        .read_to_string(&mut errors)
                        .unwrap();
                    panic!("{text:?} did not come, but {others:?} and {errors}");
                }
            }
        }
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    fn interrupt(&self) {
        let process = i32::try_from(self.child.id()).unwrap();
        // SAFETY: kill has no preconditions; the process is a child that was not waited for yet.
        assert_eq!(unsafe { libc::kill(process, libc::SIGINT) }, 0);
    }

    fn end(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

fn read_lines(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            if sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    receiver
}
