//! From settings to a member: every contradiction is found here, before anything is touched, and told with the flag, its
//! value and what to do.

use super::Refusal;
use super::flags::Settings;
use super::urls::{Url, parse_list};
use super::{ids, urls};
use crate::golang::{parse_bool, parse_duration};
use crate::log::{Format, Level, LogConfig};
use io_real::server::Options as ServeOptions;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use store::{MemberConfig, Peer};

/// The longest election timeout, in milliseconds: beyond it a cluster looks dead for too long.
const ELECTION_MS_MAX: u64 = 50_000;

/// Everything that `orlop etcd` needs to start.
#[derive(Clone)]
pub struct EtcdConfig {
    /// The member's name.
    pub name: String,
    /// The data folder.
    pub data_dir: PathBuf,
    /// Where clients are served.
    pub listen_client: Vec<Url>,
    /// Where peers are served.
    pub listen_peer: Vec<Url>,
    /// Whether the data folder must already hold this member.
    pub must_exist: bool,
    /// The member.
    pub member: MemberConfig,
    /// The file that gets what the member does, if any.
    pub observations: Option<PathBuf>,
    /// The client port's limits.
    pub serve: ServeOptions,
    /// Where the log goes.
    pub log: LogConfig,
}

impl EtcdConfig {
    /// Checks the settings and makes a configuration of them.
    pub fn new(settings: &Settings) -> Result<EtcdConfig, Refusal> {
        refuse_not_yet(settings)?;
        let log = log_config(settings)?;
        if settings.is_given("listen-client-urls") && !settings.is_given("advertise-client-urls") {
            return Err(Refusal::start(
                "--advertise-client-urls is required when --listen-client-urls is set explicitly",
            ));
        }
        let listen_client = listeners(settings, "listen-client-urls")?;
        let listen_peer = listeners(settings, "listen-peer-urls")?;
        let name = settings.text("name").to_string();
        let must_exist = match settings.text("initial-cluster-state") {
            "new" => false,
            "existing" => true,
            other => {
                return Err(Refusal::usage(format!(
                    "invalid value {other:?} for flag -initial-cluster-state: use new or existing"
                )));
            }
        };
        let members = members(settings, &name)?;
        let member = member_config(settings, &name, members, &listen_peer)?;
        let serve = ServeOptions {
            max_request_bytes: member.max_request_bytes,
            max_concurrent_streams: positive(settings, "max-concurrent-streams")?.min(u64::from(u32::MAX))
                as u32,
            keep_alive_interval: duration(settings, "grpc-keepalive-interval"),
            keep_alive_timeout: duration(settings, "grpc-keepalive-timeout"),
            // Among several members it is the others that an answer waits for.
            lively: member.members.len() == 1,
            ..ServeOptions::default()
        };
        let observations = match settings.text("observations-file") {
            "" => None,
            path => Some(PathBuf::from(path)),
        };
        let data_dir = match settings.text("data-dir") {
            "" => PathBuf::from(format!("{name}.etcd")),
            dir => PathBuf::from(dir),
        };
        Ok(EtcdConfig {
            name,
            data_dir,
            listen_client,
            listen_peer,
            must_exist,
            member,
            observations,
            serve,
            log,
        })
    }

    /// This member's own entry.
    pub fn this(&self) -> &Peer {
        self.member.this_member().expect("the configuration was made with this member in it")
    }
}

fn refuse_not_yet(settings: &Settings) -> Result<(), Refusal> {
    let Some((flag, value)) = settings.not_yet() else { return Ok(()) };
    let remedy = match flag.name {
        "config-file" => "pass the settings as flags or ETCD_ variables",
        "wal-dir" => "mount the faster disk under --data-dir",
        "quota-backend-bytes" => "leave it out, the size of the store is not limited",
        _ if flag.default.is_empty() => "leave it out",
        _ => "leave it at its default",
    };
    let default = if flag.default.is_empty() { String::new() } else { format!(" ({})", flag.default) };
    Err(Refusal::start(format!("--{}={value} is not offered yet: {remedy}{default}", flag.name)))
}

fn log_config(settings: &Settings) -> Result<LogConfig, Refusal> {
    let level = settings.text("log-level");
    let level = Level::parse(level).ok_or_else(|| {
        Refusal::start(format!(
            "--log-level={level} is no level: use debug, info, warn, error, panic or fatal"
        ))
    })?;
    let format = match settings.text("log-format") {
        "json" => Format::Json,
        "console" => Format::Console,
        other => return Err(Refusal::start(format!("--log-format={other} is unknown: use json or console"))),
    };
    if settings.text("logger") != "zap" {
        let logger = settings.text("logger");
        return Err(Refusal::start(format!("--logger={logger} is unknown: use zap or leave it out")));
    }
    let outputs = settings.text("log-outputs").split(',').map(str::to_string).collect();
    Ok(LogConfig { level, format, outputs })
}

fn listeners(settings: &Settings, flag: &str) -> Result<Vec<Url>, Refusal> {
    let list = urls_of(settings, flag);
    for url in &list {
        if !url.can_be_bound() {
            return Err(Refusal::start(format!("--{flag}: expected IP in URL for binding ({url})")));
        }
    }
    plain_http(&list, flag)?;
    if list.is_empty() {
        return Err(Refusal::start(format!(
            "--{flag} is empty: name at least one URL such as http://127.0.0.1:2379"
        )));
    }
    Ok(list)
}

fn plain_http(list: &[Url], flag: &str) -> Result<(), Refusal> {
    match list.iter().find(|url| url.scheme != "http") {
        None => Ok(()),
        Some(url) => Err(Refusal::start(format!(
            "--{flag}={url}: TLS is not offered yet, use http://{}",
            url.address()
        ))),
    }
}

fn urls_of(settings: &Settings, flag: &str) -> Vec<Url> {
    parse_list(settings.text(flag)).expect("URL flags were checked when they were read")
}

fn texts(list: &[Url]) -> Vec<String> {
    list.iter().map(Url::to_string).collect()
}

/// The members of the cluster, with their ids. This one's entry must agree with what it advertises.
fn members(settings: &Settings, name: &str) -> Result<Vec<Peer>, Refusal> {
    let advertised = urls_of(settings, "initial-advertise-peer-urls");
    plain_http(&advertised, "initial-advertise-peer-urls")?;
    let given = settings.text("initial-cluster");
    let cluster = match given {
        "" => BTreeMap::from([(name.to_string(), advertised.clone())]),
        text => parse_cluster(text)?,
    };
    let mine = cluster.get(name).ok_or_else(|| {
        Refusal::start(format!(
            "couldn't find local name \"{name}\" in the initial cluster configuration: --initial-cluster is {given:?}, \
             set --name to one of its names"
        ))
    })?;
    if *mine != advertised {
        let (mine, advertised) = (texts(mine).join(","), texts(&advertised).join(","));
        return Err(Refusal::start(format!(
            "--initial-cluster has {name}={mine} but missing from --initial-advertise-peer-urls={advertised}: \
             both must name the same URLs for this member"
        )));
    }
    let token = settings.text("initial-cluster-token");
    let client_urls = texts(&urls_of(settings, "advertise-client-urls"));
    plain_http(&urls_of(settings, "advertise-client-urls"), "advertise-client-urls")?;
    let mut members: Vec<Peer> = cluster
        .into_iter()
        .map(|(peer, list)| Peer {
            id: ids::member_id(&texts(&list), token),
            peer_addr: list[0].address(),
            peer_urls: texts(&list),
            client_urls: if peer == name { client_urls.clone() } else { Vec::new() },
            name: peer,
        })
        .collect();
    members.sort_by_key(|peer| peer.id);
    Ok(members)
}

/// `n1=http://a:1,n1=http://a:2,n2=http://b:1`: the URLs of each name.
fn parse_cluster(text: &str) -> Result<BTreeMap<String, Vec<Url>>, Refusal> {
    let bad = |part: &str, why: &str| {
        Refusal::start(format!(
            "--initial-cluster: {part:?} {why}, expected name=http://host:port separated by commas"
        ))
    };
    let mut cluster: BTreeMap<String, Vec<Url>> = BTreeMap::new();
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, url) = part.split_once('=').ok_or_else(|| bad(part, "has no name"))?;
        let url = urls::Url::parse(url).map_err(|error| bad(part, &error))?;
        plain_http(std::slice::from_ref(&url), "initial-cluster")?;
        if let Some(other) = owners.insert(url.to_string(), name.to_string()) {
            return Err(bad(part, &format!("repeats a URL of {other:?}")));
        }
        cluster.entry(name.to_string()).or_default().push(url);
    }
    cluster.values_mut().for_each(|list| list.sort_by_key(Url::to_string));
    Ok(cluster)
}

fn member_config(
    settings: &Settings,
    name: &str,
    members: Vec<Peer>,
    listen_peer: &[Url],
) -> Result<MemberConfig, Refusal> {
    let (heartbeat, election) = timings(settings)?;
    let cluster_id = ids::cluster_id(members.iter().map(|peer| peer.id));
    let mine = members.iter().find(|peer| peer.name == name).expect("this member is in the cluster").id;
    let [listen] = listen_peer else {
        let list = texts(listen_peer).join(",");
        return Err(Refusal::start(format!(
            "--listen-peer-urls={list}: more than one is not offered yet, name one"
        )));
    };
    let mut config = MemberConfig::new(mine, cluster_id, members);
    config.listen_peer = listen.address();
    config.tick = Duration::from_millis(heartbeat);
    config.election_ticks = (election / heartbeat) as usize;
    config.max_txn_ops = positive(settings, "max-txn-ops")? as usize;
    config.max_request_bytes = positive(settings, "max-request-bytes")? as usize;
    config.catch_up_entries = positive(settings, "snapshot-catchup-entries")?;
    config.scrub_bytes = whole(settings, "scrub-bytes-per-second")?;
    config.scrub_pause = duration(settings, "scrub-interval");
    config.wal_segment_bytes = positive(settings, "wal-segment-bytes")?;
    config.checkpoint_bytes = positive(settings, "checkpoint-bytes")?;
    config.overlay_bytes = positive(settings, "overlay-bytes")? as usize;
    config.initial_corrupt_check =
        parse_bool(settings.text("experimental-initial-corrupt-check")).unwrap_or(false);
    let old_name = "experimental-corrupt-check-time";
    let check = if settings.is_given(old_name) { old_name } else { "corrupt-check-time" };
    config.corrupt_check = duration(settings, check);
    let old_name = "experimental-watch-progress-notify-interval";
    let progress = if settings.is_given(old_name) { old_name } else { "watch-progress-notify-interval" };
    config.progress_interval = duration(settings, progress);
    Ok(config)
}

/// Heartbeat interval and election timeout, in milliseconds.
fn timings(settings: &Settings) -> Result<(u64, u64), Refusal> {
    let heartbeat = settings.text("heartbeat-interval").parse::<i64>().unwrap_or(0);
    let election = settings.text("election-timeout").parse::<i64>().unwrap_or(0);
    for (flag, value) in [("heartbeat-interval", heartbeat), ("election-timeout", election)] {
        if value <= 0 {
            return Err(Refusal::start(format!("--{flag} must be >0 (set to {value}ms)")));
        }
    }
    let (heartbeat, election) = (heartbeat.unsigned_abs(), election.unsigned_abs());
    if heartbeat.saturating_mul(5) > election {
        return Err(Refusal::start(format!(
            "--election-timeout[{election}ms] should be at least as 5 times as --heartbeat-interval[{heartbeat}ms]"
        )));
    }
    if election > ELECTION_MS_MAX {
        return Err(Refusal::start(format!(
            "--election-timeout[{election}ms] is too long, and should be set less than {ELECTION_MS_MAX}ms"
        )));
    }
    Ok((heartbeat, election))
}

fn positive(settings: &Settings, flag: &str) -> Result<u64, Refusal> {
    let value = settings.text(flag);
    let number = value.parse::<u64>().ok().filter(|number| *number > 0);
    number.ok_or_else(|| Refusal::start(format!("--{flag} must be >0 (set to {value})")))
}

fn whole(settings: &Settings, flag: &str) -> Result<u64, Refusal> {
    let value = settings.text(flag);
    value.parse().map_err(|_| Refusal::start(format!("--{flag} must be >=0 (set to {value})")))
}

fn duration(settings: &Settings, flag: &str) -> Duration {
    parse_duration(settings.text(flag)).expect("durations were checked when they were read")
}
