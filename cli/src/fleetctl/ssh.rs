//! Other machines, over the system's `ssh`.
//!
//! fleet had an ssh client of its own, which needed an agent; the system's has every way to log in, and asks when it must.
//! fleet's settings become its options: own file of known hosts, strictness, time limit, user name. With `--tunnel`, the
//! connection goes through the tunnel's host by a ProxyCommand rather than a ProxyJump, because only so the same options
//! hold for that host too.

use super::args::Line;
use super::failure::Failure;
use io_real::fleet_client::{Endpoint, Place};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// ssh's port where none is said.
const SSH_PORT: u16 = 22;

/// The settings of ssh.
pub struct Ssh {
    /// Longest time to make a connection.
    pub timeout: Duration,
    user: String,
    /// Host and port of the tunnel.
    tunnel: Option<(String, u16)>,
    /// The file of known hosts; none when host keys are not checked.
    known_hosts: Option<PathBuf>,
    /// Port on the machines.
    port: u16,
    forward_agent: bool,
}

impl Ssh {
    /// Reads the flags.
    pub fn new(line: &Line) -> Result<Ssh, Failure> {
        let port = match line.text("ssh-port").as_str() {
            "" => SSH_PORT,
            text => {
                text.parse().map_err(|_| Failure::usage(format!("--ssh-port is {text:?}: give a port")))?
            }
        };
        let tunnel = match line.text("tunnel").as_str() {
            "" => None,
            text => Some(
                host_and_port(text)
                    .ok_or_else(|| Failure::usage(format!("--tunnel is {text:?}: give HOST or HOST:PORT")))?,
            ),
        };
        let known_hosts = line.switch("strict-host-key-checking")?.then(|| {
            let home = std::env::var("HOME").unwrap_or_default();
            expand(&line.text("known-hosts-file"), &home)
        });
        Ok(Ssh {
            timeout: line.seconds("ssh-timeout")?,
            user: line.text("ssh-username"),
            tunnel,
            known_hosts,
            port,
            forward_agent: line.switch("forward-agent")?,
        })
    }

    /// The program that connects its standard streams with the API's endpoint, if there is a tunnel.
    pub fn tunnel_to(&self, endpoint: &Endpoint) -> Result<Option<Vec<String>>, Failure> {
        let Some((host, port)) = &self.tunnel else { return Ok(None) };
        self.prepare()?;
        let mut command = self.options(*port);
        match &endpoint.place {
            Place::Unix(path) => {
                let path = path.to_string_lossy();
                command.extend([host.clone(), format!("fleetctl fd-forward {}", shell_quote(&path))]);
            }
            Place::Tcp { host: target, port, .. } => {
                command.extend(["-W".to_string(), bracketed(target, *port), host.clone()]);
            }
        }
        Ok(Some(command))
    }

    /// The program that runs `command` on the machine with this address; a shell if there is no command.
    pub fn command(&self, address: &str, command: Option<&str>) -> Vec<String> {
        let (host, port) = host_and_port(address).unwrap_or_else(|| (address.to_string(), SSH_PORT));
        // A port that stands in the address is more special than the one for all machines.
        let port = if port == SSH_PORT { self.port } else { port };
        let mut words = self.options(port);
        if let Some((jump, jump_port)) = &self.tunnel {
            let hop: Vec<String> = self.options(*jump_port).iter().map(|word| shell_quote(word)).collect();
            let hop = hop.join(" ").replace('%', "%%");
            words.extend(["-o".into(), format!("ProxyCommand={hop} -W [%h]:%p {}", shell_quote(jump))]);
        }
        if self.forward_agent {
            words.push("-A".to_string());
        }
        words.extend(["--".to_string(), host]);
        words.extend(command.map(str::to_string));
        words
    }

    fn options(&self, port: u16) -> Vec<String> {
        let mut words: Vec<String> =
            vec!["ssh".into(), "-l".into(), self.user.clone(), "-p".into(), port.to_string()];
        let seconds = self.timeout.as_secs_f64().ceil() as u64;
        let mut settings = vec![format!("ConnectTimeout={seconds}")];
        match &self.known_hosts {
            Some(path) => {
                settings.push(format!("UserKnownHostsFile=\"{}\"", path.display()));
                settings.push("StrictHostKeyChecking=ask".to_string());
            }
            None => {
                settings.push("UserKnownHostsFile=/dev/null".to_string());
                settings.push("StrictHostKeyChecking=no".to_string());
                settings.push("LogLevel=ERROR".to_string());
            }
        }
        words.extend(settings.into_iter().flat_map(|setting| ["-o".to_string(), setting]));
        words
    }

    /// Makes the folder of known hosts: ssh makes only the file.
    fn prepare(&self) -> Result<(), Failure> {
        let folder = self.known_hosts.as_deref().and_then(Path::parent);
        let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| Failure::error(format!("--known-hosts-file: {}: {error}", folder.display())))
    }

    /// Runs a program on the machine with this address, with our standard streams, and returns its exit code. ssh itself
    /// ends with 255 when it cannot connect, and has then said why.
    pub fn run(&self, address: &str, command: Option<&str>) -> Result<u8, Failure> {
        self.prepare()?;
        run(&self.command(address, command))
    }
}

/// Runs a program of this machine with our standard streams and returns its exit code, as a shell tells it.
pub fn run(words: &[String]) -> Result<u8, Failure> {
    use std::os::unix::process::ExitStatusExt;
    let (name, arguments) = words.split_first().expect("a program has a name");
    let status = Command::new(name).args(arguments).status().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::error(format!("{name} is not installed here, or not in PATH, and is needed for this"))
        }
        _ => Failure::error(format!("cannot run {name}: {error}")),
    })?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Quotes a word for a shell, if it needs it.
pub fn shell_quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`, or an address with colons.
pub(super) fn host_and_port(text: &str) -> Option<(String, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = if port.is_empty() { SSH_PORT } else { port.strip_prefix(':')?.parse().ok()? };
        return Some((host.to_string(), port));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => {
            (!host.is_empty()).then_some((host.to_string(), port.parse().ok()?))
        }
        _ => (!text.is_empty()).then_some((text.to_string(), SSH_PORT)),
    }
}

fn bracketed(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn expand(path: &str, home: &str) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => Path::new(home).join(rest),
        None => PathBuf::from(path),
    }
}
