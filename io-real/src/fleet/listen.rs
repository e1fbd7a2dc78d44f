//! The sockets of the API: a unix socket by path, TCP by address, or whatever systemd passes in.

use super::EdgeError;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener};

/// Who may open the unix socket: its owner and its group. Whoever may is root on the cluster.
const SOCKET_MODE: u32 = 0o660;

/// The first descriptor that systemd passes.
const FIRST_PASSED: i32 = 3;

/// A socket that listens.
pub enum Listener {
    /// A unix socket. The path is removed at the end, unless systemd made it.
    Unix(UnixListener, Option<PathBuf>),
    /// A TCP port.
    Tcp(TcpListener),
}

impl Listener {
    /// Listens at a path. A socket file that nobody serves any more is replaced; one that somebody serves is not.
    pub fn unix(path: &Path) -> Result<Listener, EdgeError> {
        let wrong = |why: String| EdgeError(format!("api_socket={}: {why}", path.display()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| wrong(format!("cannot make its folder: {error}")))?;
        }
        clear_the_way(path).map_err(wrong)?;
        let socket = StdUnixListener::bind(path).map_err(|error| wrong(error.to_string()))?;
        fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))
            .map_err(|error| wrong(error.to_string()))?;
        let socket = unix(socket).map_err(|error| wrong(error.to_string()))?;
        Ok(Listener::Unix(socket, Some(path.to_path_buf())))
    }

    /// Listens at an address.
    pub fn tcp(address: SocketAddr) -> Result<Listener, EdgeError> {
        let listen = || tcp(StdTcpListener::bind(address)?);
        listen().map(Listener::Tcp).map_err(|error| EdgeError(format!("api_listen={address}: {error}")))
    }

    /// The sockets that systemd passed to this process, if it did.
    pub fn passed() -> Result<Vec<Listener>, EdgeError> {
        let variable = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
        if variable("LISTEN_PID") != Some(std::process::id()) {
            return Ok(Vec::new());
        }
        let count = i32::try_from(variable("LISTEN_FDS").unwrap_or(0)).unwrap_or(0);
        (FIRST_PASSED..FIRST_PASSED + count).map(adopt).collect()
    }

    /// Where it listens, for people.
    pub fn place(&self) -> String {
        match self {
            Listener::Unix(socket, _) => {
                let path = socket.local_addr().ok().and_then(|at| at.as_pathname().map(Path::to_path_buf));
                format!("unix://{}", path.unwrap_or_default().display())
            }
            Listener::Tcp(_) => self.address().map_or_else(|| "tcp".into(), |at| format!("tcp://{at}")),
        }
    }

    /// The address of a TCP socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Unix(..) => None,
            Listener::Tcp(socket) => socket.local_addr().ok(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, Some(path)) = self {
            // Gone already is as good.
            let _ = fs::remove_file(path);
        }
    }
}

/// Takes away a socket file that nobody serves; refuses when somebody does, or when it is no socket.
fn clear_the_way(path: &Path) -> Result<(), String> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err("there is a file that is no socket: move it away, or choose another path".into());
    }
    match StdUnixStream::connect(path) {
        Ok(_) => Err("another program serves this socket: stop it, or choose another path".into()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| format!("cannot take away what was left there: {error}"))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn unix(socket: StdUnixListener) -> io::Result<UnixListener> {
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket)
}

fn tcp(socket: StdTcpListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// Takes one descriptor that systemd passed.
fn adopt(number: i32) -> Result<Listener, EdgeError> {
    let wrong = |why: String| EdgeError(format!("socket {number} passed by systemd: {why}"));
    // SAFETY: systemd says by LISTEN_PID and LISTEN_FDS that these descriptors are open and this process's own; they are
    // taken once, at start, before anything else is opened.
    #[allow(unsafe_code)]
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)
        .map_err(|error| wrong(error.to_string()))?;
    let address = rustix::net::getsockname(&descriptor).map_err(|error| wrong(error.to_string()))?;
    use rustix::net::AddressFamily;
    let listener = match address.address_family() {
        AddressFamily::UNIX => {
            unix(StdUnixListener::from(descriptor)).map(|socket| Listener::Unix(socket, None))
        }
        AddressFamily::INET | AddressFamily::INET6 => {
            tcp(StdTcpListener::from(descriptor)).map(Listener::Tcp)
        }
        other => return Err(wrong(format!("of family {other:?}: only unix and TCP sockets are served"))),
    };
    listener.map_err(|error| wrong(error.to_string()))
}
