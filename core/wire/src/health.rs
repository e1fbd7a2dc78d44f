//! The messages of `grpc.health.v1.Health`, which load balancers and robustness tests ask on the client port.
//!
//! The empty service name means the server as a whole.

/// Whether a service serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ServingStatus {
    /// Not known.
    Unknown = 0,
    /// It does.
    Serving = 1,
    /// It does not.
    NotServing = 2,
    /// There is no such service; only in a watch.
    ServiceUnknown = 3,
}

/// Asks about a service.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HealthCheckRequest {
    /// Its full name; empty for the server.
    #[prost(string, tag = "1")]
    pub service: String,
}

/// The answer.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct HealthCheckResponse {
    /// Whether it serves.
    #[prost(enumeration = "ServingStatus", tag = "1")]
    pub status: i32,
}
