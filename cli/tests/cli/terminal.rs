//! What people see who sit in front of a terminal: a pseudo-terminal is put in its place.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd as _, FromRawFd as _},
        unix::process::CommandExt as _,
    },
    process::{Child, Command},
    ptr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::world::{PASSPHRASE, World};

#[test]
fn a_line_being_typed_survives_what_arrives() {
    let world = World::start();
    let (alice, bob, _) = world.pair();
    bob.ok(&["send", "Bamboo", "history"]);
    alice.ok(&["sync"]);
    let mut chat = Terminal::run(alice.command(&["chat", "Bamboo"]).env("NO_COLOR", "1"));
    chat.expect("Bob: history");
    chat.press("hel");
    chat.expect("> hel");
    bob.ok(&["send", "Bamboo", "me first \x1b[2J"]);
    chat.expect("\r\x1b[KBob: me first \u{fffd}[2J\r\n> hel");
    chat.press("lp\x7fo\r");
    chat.expect("Alice: hello ✓\r\n> ");
    chat.press("/members\r");
    chat.expect("Alice (you)");
    chat.press("\x04");
    assert_eq!(chat.end(), Some(0));
    bob.ok(&["sync"]);
    assert_eq!(
        bob.texts("Bamboo").last().map(String::as_str),
        Some("hello")
    );
}

#[test]
fn a_passphrase_is_asked_for_and_not_shown() {
    let world = World::start();
    let alice = world.no_phone("alice");
    let asked = |arguments: &[&str], answers: &[(&str, &str)]| {
        let mut terminal = Terminal::run(
            alice
                .command(arguments)
                .env_remove("AILURUS_PASSPHRASE")
                .env("NO_COLOR", "1"),
        );
        for (prompt, answer) in answers {
            terminal.expect(prompt);
            terminal.wait_until_nothing_shows();
            terminal.press(answer);
            terminal.press("\n");
        }
        let (code, shown) = terminal.end_with_all();
        assert!(!shown.contains(PASSPHRASE), "{shown}");
        code
    };
    let init = ["init", "--name", "Alice"];
    let differ = [
        ("New passphrase: ", PASSPHRASE),
        ("The same again: ", "apples"),
    ];
    assert_eq!(asked(&init, &differ), Some(1));
    assert!(!alice.data.exists());
    let same = [
        ("New passphrase: ", PASSPHRASE),
        ("The same again: ", PASSPHRASE),
    ];
    assert_eq!(asked(&init, &same), Some(0));
    assert_eq!(
        asked(&["channel", "list"], &[("Passphrase: ", PASSPHRASE)]),
        Some(0)
    );
    assert_eq!(
        asked(&["channel", "list"], &[("Passphrase: ", "apples")]),
        Some(1)
    );
    assert_eq!(
        alice.ok(&["node", "list"]),
        "",
        "the environment gives the same passphrase"
    );
}

/// A process on a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: mpsc::Receiver<Vec<u8>>,
    unread: Vec<u8>,
    all: Vec<u8>,
}

impl Terminal {
    fn run(command: &mut Command) -> Self {
        let (ours, theirs) = open_terminal();
        let stream = || theirs.try_clone().unwrap();
        command
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .env("TERM", "xterm");
        // SAFETY: between fork and exec only setsid and ioctl are called, which are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0) < 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        // The command holds copies of the other end; the screen ends when all are closed.
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::null());
        Self {
            screen: read_screen(ours.try_clone().unwrap()),
            keyboard: ours,
            child,
            unread: Vec::new(),
            all: Vec::new(),
        }
    }

    /// The prompt comes a moment before the terminal stops to show what is typed, and no person is that fast.
    fn wait_until_nothing_shows(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let mut mode = MaybeUninit::<libc::termios>::uninit();
            // SAFETY: the descriptor is open as long as `keyboard`, and the mode is read only if the call filled it.
            let shows = unsafe {
                assert_eq!(
                    libc::tcgetattr(self.keyboard.as_raw_fd(), mode.as_mut_ptr()),
                    0
                );
                mode.assume_init().c_lflag & libc::ECHO != 0
            };
            if !shows {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the terminal still shows what is typed"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this stands on the screen, after what was waited for before.
    fn expect(&mut self, text: &str) {
        loop {
            let shown = String::from_utf8_lossy(&self.unread).into_owned();
            if let Some((_, after)) = shown.split_once(text) {
                self.unread = after.as_bytes().to_vec();
                return;
            }
            match self.screen.recv_timeout(Duration::from_secs(20)) {
                Ok(bytes) => {
                    self.all.extend(&bytes);
                    self.unread.extend(bytes);
                }
                Err(_) => {
                    let _ = self.child.kill();
                    panic!("{text:?} did not come, but {shown:?}");
                }
            }
        }
    }

    fn end(self) -> Option<i32> {
        self.end_with_all().0
    }

    /// The exit code, and everything that was ever shown.
    fn end_with_all(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        while let Ok(bytes) = self.screen.recv_timeout(Duration::from_secs(5)) {
            self.all.extend(bytes);
        }
        (code, String::from_utf8_lossy(&self.all).into_owned())
    }
}

fn read_screen(mut terminal: File) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        // On Linux the end is an error.
        while let Ok(count @ 1..) = terminal.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Our end of a new pseudo-terminal, and the one for a process.
fn open_terminal() -> (File, File) {
    let (mut ours, mut theirs) = (-1, -1);
    // SAFETY: both pointers are to live integers; null means defaults.
    let done = unsafe {
        libc::openpty(
            &raw mut ours,
            &raw mut theirs,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
    // SAFETY: openpty has just opened both, and nobody else owns them.
    unsafe { (File::from_raw_fd(ours), File::from_raw_fd(theirs)) }
}
