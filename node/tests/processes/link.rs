//! Two network namespaces with a slow, lossy link between them. They and the link are gone with the threads and
//! processes in them.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    net::Ipv4Addr,
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use ailurus::crypto::{SeededEntropy, entropy};

/// What a link does to each packet.
#[derive(Clone, Copy)]
pub struct Quality {
    /// One way, on average.
    pub delay: Duration,
    /// Up to so much more or less; packets overtake each other.
    pub jitter: Duration,
    pub lost_per_mille: u32,
}

/// A network namespace with an address on the link.
pub struct Namespace {
    file: File,
    pub address: Ipv4Addr,
}

impl Namespace {
    /// Makes one, in which the calling thread is then, and with it what it starts.
    ///
    /// Fails without the right to make one, or without TUN devices.
    fn new(address: Ipv4Addr) -> io::Result<(Self, File)> {
        // SAFETY: concerns only this thread.
        check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
        let file = File::open("/proc/thread-self/ns/net")?;
        let tun = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")?;
        let mut device = named("link");
        device.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
        control(&tun, libc::TUNSETIFF, &device)?;
        configure("lo", None)?;
        configure("link", Some(address))?;
        Ok((Self { file, address }, tun))
    }

    /// Puts the calling thread, and what it starts from now on, into the namespace.
    pub fn enter(&self) {
        // SAFETY: concerns only this thread.
        let entered = unsafe { libc::setns(self.file.as_raw_fd(), libc::CLONE_NEWNET) };
        check(entered).expect("its own namespace");
    }
}

/// The link; it is cut when this is dropped.
pub struct SlowLink {
    pub far: Namespace,
    pub near: Namespace,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<(usize, usize)>>,
}

impl SlowLink {
    /// Makes both namespaces; leaves the calling thread in the near one.
    pub fn new(quality: Quality) -> io::Result<Self> {
        let (far, one) = Namespace::new(Ipv4Addr::new(10, 77, 0, 1))?;
        let (near, other) = Namespace::new(Ipv4Addr::new(10, 77, 0, 2))?;
        let ends = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let ends = Arc::clone(&ends);
            move || carry([one, other], quality, &ends)
        });
        Ok(Self {
            far,
            near,
            ends,
            thread: Some(thread),
        })
    }

    /// Cuts it; packets that passed, and that were lost.
    pub fn cut(mut self) -> (usize, usize) {
        self.ends.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("runs until now");
        thread.join().expect("no panic")
    }
}

impl Drop for SlowLink {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// A packet on its way: when it arrives, which one it is, at which end, and what it holds.
type Packet = Reverse<(Instant, usize, usize, Vec<u8>)>;

/// Carries packets from each end to the other until told to end.
fn carry(ends: [File; 2], quality: Quality, end: &AtomicBool) -> (usize, usize) {
    let mut dice = SeededEntropy::from_u64(77);
    let mut on_the_way: BinaryHeap<Packet> = BinaryHeap::new();
    let (mut count, mut lost) = (0, 0);
    let mut buffer = vec![0; 65_536];
    while !end.load(Ordering::Relaxed) {
        let next = on_the_way.peek().map(|Reverse((at, ..))| *at);
        let wait = next.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
        wait_for(&ends, wait.min(IDLE));
        for (from, file) in ends.iter().enumerate() {
            // Until it would block.
            while let Ok(length) = (&*file).read(&mut buffer) {
                count += 1;
                let random = u32::from_be_bytes(entropy::array(&mut dice));
                if random % 1_000 < quality.lost_per_mille {
                    lost += 1;
                    continue;
                }
                let random = u32::from_be_bytes(entropy::array(&mut dice));
                let shift = quality.jitter * 2 * (random % 1_001) / 1_000;
                let at = Instant::now() + quality.delay + shift - quality.jitter;
                on_the_way.push(Reverse((at, count, 1 - from, buffer[..length].to_vec())));
            }
        }
        while let Some(Reverse((at, ..))) = on_the_way.peek()
            && *at <= Instant::now()
            && let Some(Reverse((_, _, to, packet))) = on_the_way.pop()
        {
            // What does not fit is lost.
            let _ = (&ends[to]).write(&packet);
        }
    }
    (count - lost, lost)
}

fn wait_for(ends: &[File; 2], wait: Duration) {
    let mut files = ends.each_ref().map(|file| libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    // At least a millisecond: what is due a little later need not be waited for busily.
    let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX).max(1);
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

/// How long nothing may happen before the end is looked for.
const IDLE: Duration = Duration::from_millis(50);
