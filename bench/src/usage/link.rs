//! Two network namespaces with a link between them, on which each packet is seen. They and the link are gone with the
//! threads and processes in them.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    net::Ipv4Addr,
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// A network namespace with an address on the link.
pub struct Namespace {
    file: File,
    pub address: Ipv4Addr,
}

impl Namespace {
    /// Makes one, in which the calling thread is then, and with it what it starts.
    fn new(address: Ipv4Addr) -> io::Result<(Self, File)> {
        // SAFETY: concerns only this thread.
        check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
        let file = File::open("/proc/thread-self/ns/net")?;
        let tun = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")?;
        let mut device = named(DEVICE);
        device.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
        control(&tun, libc::TUNSETIFF, &device)?;
        // The kernel would look for routers.
        std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1")?;
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")?;
        configure("lo", None)?;
        configure(DEVICE, Some(address))?;
        Ok((Self { file, address }, tun))
    }

    /// Puts the calling thread, and what it starts from now on, into the namespace.
    pub fn enter(&self) -> io::Result<()> {
        // SAFETY: concerns only this thread.
        check(unsafe { libc::setns(self.file.as_raw_fd(), libc::CLONE_NEWNET) })
    }
}

/// The link; it is cut when this is dropped.
pub struct Link {
    pub far: Namespace,
    pub near: Namespace,
    passed: Arc<Mutex<Vec<Instant>>>,
    ends: Arc<AtomicBool>,
}

impl Link {
    /// Makes both namespaces; leaves the calling thread in the near one.
    pub fn new() -> io::Result<Self> {
        let (far, one) = Namespace::new(Ipv4Addr::new(10, 78, 0, 1))?;
        let (near, other) = Namespace::new(Ipv4Addr::new(10, 78, 0, 2))?;
        let ends = Arc::new(AtomicBool::new(false));
        let passed = Arc::new(Mutex::default());
        std::thread::spawn({
            let (ends, passed) = (Arc::clone(&ends), Arc::clone(&passed));
            move || carry([one, other], &passed, &ends)
        });
        Ok(Self {
            far,
            near,
            passed,
            ends,
        })
    }

    /// When packets passed since the last call.
    pub fn take(&self) -> Vec<Instant> {
        std::mem::take(&mut self.passed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// Carries packets from each end to the other until told to end.
fn carry(ends: [File; 2], passed: &Mutex<Vec<Instant>>, end: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    while !end.load(Ordering::Relaxed) {
        wait_for(&ends);
        for (from, file) in ends.iter().enumerate() {
            // Until it would block.
            while let Ok(length) = (&*file).read(&mut buffer) {
                passed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Instant::now());
                // What does not fit is lost.
                let _ = (&ends[1 - from]).write(&buffer[..length]);
            }
        }
    }
}

fn wait_for(ends: &[File; 2]) {
    let mut files = ends.each_ref().map(|file| libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    let millis = i32::try_from(IDLE.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: two entries, open as long as the call.
    unsafe { libc::poll(files.as_mut_ptr(), 2, millis) };
}

/// Takes a device of this thread's namespace into use.
fn configure(device: &str, address: Option<Ipv4Addr>) -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    if let Some(address) = address {
        for (request, value) in [
            (libc::SIOCSIFADDR, address),
            (libc::SIOCSIFNETMASK, Ipv4Addr::new(255, 255, 255, 0)),
        ] {
            let mut asked = named(device);
            let [a, b, c, d] = value.octets().map(|octet| octet as libc::c_char);
            asked.ifr_ifru.ifru_addr = libc::sockaddr {
                sa_family: libc::AF_INET as libc::sa_family_t,
                sa_data: [0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0],
            };
            control(&socket, request as libc::Ioctl, &asked)?;
        }
    }
    let mut asked = named(device);
    asked.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    control(&socket, libc::SIOCSIFFLAGS as libc::Ioctl, &asked)
}

fn named(device: &str) -> libc::ifreq {
    // SAFETY: numbers and bytes, for which zero is a value.
    let mut asked: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, byte) in asked.ifr_name.iter_mut().zip(device.bytes()) {
        *to = byte as libc::c_char;
    }
    asked
}

fn control(
    file: &impl std::os::fd::AsRawFd,
    request: libc::Ioctl,
    asked: &libc::ifreq,
) -> io::Result<()> {
    // SAFETY: the request takes a device's settings and only reads them, or writes its name back.
    check(unsafe { libc::ioctl(file.as_raw_fd(), request, std::ptr::from_ref(asked)) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The name of the device at both ends.
pub const DEVICE: &str = "link";
/// How long nothing may happen before the end is looked for.
const IDLE: Duration = Duration::from_millis(100);
