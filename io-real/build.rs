//! Generates the gRPC stubs of etcd's services from a table of methods: no .proto file and no protoc, because the
//! messages are hand-written structs (`wire`) and only paths and streaming kinds are left to say.

use tonic_build::manual::{Builder, Method, Service};

/// Which sides of a method are streams.
#[derive(Clone, Copy)]
enum Kind {
    Unary,
    ServerStream,
    BidiStream,
}
use Kind::*;

/// The method's name; the name of its messages before `Request` and `Response`; its kind.
type Row = (&'static str, &'static str, Kind);

const KV: &[Row] = &[
    ("Range", "Range", Unary),
    ("RangeStream", "RangeStream", ServerStream),
    ("Put", "Put", Unary),
    ("DeleteRange", "DeleteRange", Unary),
    ("Txn", "Txn", Unary),
    ("Compact", "Compaction", Unary),
];

const WATCH: &[Row] = &[("Watch", "Watch", BidiStream)];

const LEASE: &[Row] = &[
    ("LeaseGrant", "LeaseGrant", Unary),
    ("LeaseRevoke", "LeaseRevoke", Unary),
    ("LeaseKeepAlive", "LeaseKeepAlive", BidiStream),
    ("LeaseTimeToLive", "LeaseTimeToLive", Unary),
    ("LeaseLeases", "LeaseLeases", Unary),
];

const CLUSTER: &[Row] = &[
    ("MemberAdd", "MemberAdd", Unary),
    ("MemberRemove", "MemberRemove", Unary),
    ("MemberUpdate", "MemberUpdate", Unary),
    ("MemberList", "MemberList", Unary),
    ("MemberPromote", "MemberPromote", Unary),
];

const MAINTENANCE: &[Row] = &[
    ("Alarm", "Alarm", Unary),
    ("Status", "Status", Unary),
    ("Defragment", "Defragment", Unary),
    ("Hash", "Hash", Unary),
    ("HashKV", "HashKv", Unary),
    ("Snapshot", "Snapshot", ServerStream),
    ("MoveLeader", "MoveLeader", Unary),
    ("Downgrade", "Downgrade", Unary),
];

const AUTH: &[Row] = &[
    ("AuthEnable", "AuthEnable", Unary),
    ("AuthDisable", "AuthDisable", Unary),
    ("AuthStatus", "AuthStatus", Unary),
    ("Authenticate", "Authenticate", Unary),
    ("UserAdd", "AuthUserAdd", Unary),
    ("UserGet", "AuthUserGet", Unary),
    ("UserList", "AuthUserList", Unary),
    ("UserDelete", "AuthUserDelete", Unary),
    ("UserChangePassword", "AuthUserChangePassword", Unary),
    ("UserGrantRole", "AuthUserGrantRole", Unary),
    ("UserRevokeRole", "AuthUserRevokeRole", Unary),
    ("RoleAdd", "AuthRoleAdd", Unary),
    ("RoleGet", "AuthRoleGet", Unary),
    ("RoleList", "AuthRoleList", Unary),
    ("RoleDelete", "AuthRoleDelete", Unary),
    ("RoleGrantPermission", "AuthRoleGrantPermission", Unary),
    ("RoleRevokePermission", "AuthRoleRevokePermission", Unary),
];

const HEALTH: &[Row] = &[("Check", "HealthCheck", Unary), ("Watch", "HealthCheck", ServerStream)];

/// Package, name and methods of every service.
const SERVICES: &[(&str, &str, &[Row])] = &[
    ("etcdserverpb", "KV", KV),
    ("etcdserverpb", "Watch", WATCH),
    ("etcdserverpb", "Lease", LEASE),
    ("etcdserverpb", "Cluster", CLUSTER),
    ("etcdserverpb", "Maintenance", MAINTENANCE),
    ("etcdserverpb", "Auth", AUTH),
    ("grpc.health.v1", "Health", HEALTH),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let services: Vec<Service> = SERVICES.iter().map(service).collect();
    Builder::new().build_transport(false).compile(&services);
    let folder = std::env::var("OUT_DIR").expect("cargo sets it for build scripts");
    std::fs::write(std::path::Path::new(&folder).join("methods.rs"), table())
        .expect("the build folder is writable");
}

/// The rows as a Rust constant, for whoever has to tell methods apart by their path.
fn table() -> String {
    let mut table = String::from("pub(crate) const METHODS: &[Method] = &[\n");
    for (package, service, rows) in SERVICES {
        for (name, _, kind) in *rows {
            let kind = match kind {
                Unary => "unary",
                ServerStream => "server_stream",
                BidiStream => "bidi_stream",
            };
            let path = format!("/{package}.{service}/{name}");
            table += &format!(
                "Method {{ path: {path:?}, service: \"{package}.{service}\", name: {name:?}, kind: {kind:?} }},\n"
            );
        }
    }
    table + "];\n"
}

fn service((package, name, rows): &(&str, &str, &[Row])) -> Service {
    let mut service = Service::builder().package(package).name(name);
    for row in *rows {
        service = service.method(method(row));
    }
    service.build()
}

fn method((name, messages, kind): &Row) -> Method {
    // A streamed range is asked for by the request of a plain one.
    let request = messages.strip_suffix("Stream").unwrap_or(messages);
    let builder = Method::builder()
        .name(snake(name))
        .route_name(name)
        .input_type(format!("wire::{request}Request"))
        .output_type(format!("wire::{messages}Response"))
        .codec_path("crate::grpc::codec::Codec");
    match kind {
        Unary => builder.build(),
        ServerStream => builder.server_streaming().build(),
        BidiStream => builder.client_streaming().server_streaming().build(),
    }
}

/// `LeaseKeepAlive` as `lease_keep_alive`, `HashKV` as `hash_kv`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    let mut after_lower = false;
    for letter in name.chars() {
        if letter.is_uppercase() && after_lower {
            snake.push('_');
        }
        after_lower = letter.is_lowercase();
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
