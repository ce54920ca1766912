//! The terminal itself: keys one by one without echo, its width, interrupts, and its state given back at the end.

use std::io;

/// While it is held, keys arrive at once and are not echoed; signals such as Ctrl-C work on.
pub struct KeyMode {
    #[cfg(unix)]
    before: libc::termios,
}

#[cfg(unix)]
impl KeyMode {
    /// Switches the terminal on standard input.
    ///
    /// # Errors
    /// If standard input is no terminal.
    pub fn enter() -> io::Result<Self> {
        // SAFETY: termios is plain integers, for which zeros are valid; tcgetattr fills it before it is used.
        let mut before: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a live termios of our own.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, &raw mut before) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut keys = before;
        keys.c_lflag &= !(libc::ICANON | libc::ECHO);
        keys.c_cc[libc::VMIN] = 1;
        keys.c_cc[libc::VTIME] = 0;
        set(&keys)?;
        Ok(Self { before })
    }
}

#[cfg(unix)]
impl Drop for KeyMode {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to give back.
        let _ = set(&self.before);
    }
}

#[cfg(not(unix))]
impl KeyMode {
    /// There are no keys one by one here; the caller reads lines.
    pub fn enter() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Columns of the terminal on standard output; 80 if it does not say.
#[cfg(unix)]
pub fn columns() -> usize {
    // SAFETY: winsize is plain integers, for which zeros are valid.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: TIOCGWINSZ writes a winsize through the pointer, which is to a live one of our own.
    let done = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    if done == 0 && size.ws_col > 0 {
        usize::from(size.ws_col)
    } else {
        80
    }
}

/// Columns of the terminal; not asked for here.
#[cfg(not(unix))]
pub fn columns() -> usize {
    80
}

/// Waits for Ctrl-C, or for SIGTERM where there is one.
#[cfg(unix)]
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        // Without handlers, the system ends the process itself.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Waits for Ctrl-C.
#[cfg(not(unix))]
pub async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

#[cfg(unix)]
fn set(mode: &libc::termios) -> io::Result<()> {
    // SAFETY: the pointer is to a live termios.
    if unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSADRAIN, mode) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
