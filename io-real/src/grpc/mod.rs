//! etcd's gRPC services: one file a service, each converting and calling, none deciding.

pub(crate) mod codec;
pub(crate) mod status;
pub(crate) mod stubs;
