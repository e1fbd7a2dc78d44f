//! gRPC statuses and [`KvError`]s: the same codes and texts on both sides of the wire.

use kernel::{Code, KvError};
use std::error::Error;
use tonic::Status;

/// What a client is told.
pub(crate) fn from_error(error: KvError) -> Status {
    Status::new(tonic::Code::from_i32(error.code as i32), error.message)
}

/// What a server has told, or how the way there failed: a status that was made on this side carries its cause, and means
/// that the outcome of the call is open.
pub(crate) fn into_error(status: Status) -> KvError {
    match status.source() {
        Some(cause) => KvError::new(Code::Unavailable, format!("connection lost: {}", root(cause))),
        None => KvError::new(code(status.code()), status.message()),
    }
}

/// The innermost cause, which is the one that says something.
pub(crate) fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost
}

fn code(code: tonic::Code) -> Code {
    match code {
        tonic::Code::Cancelled => Code::Canceled,
        tonic::Code::InvalidArgument => Code::InvalidArgument,
        tonic::Code::DeadlineExceeded => Code::DeadlineExceeded,
        tonic::Code::NotFound => Code::NotFound,
        tonic::Code::PermissionDenied => Code::PermissionDenied,
        tonic::Code::ResourceExhausted => Code::ResourceExhausted,
        tonic::Code::FailedPrecondition => Code::FailedPrecondition,
        tonic::Code::OutOfRange => Code::OutOfRange,
        tonic::Code::Unimplemented => Code::Unimplemented,
        tonic::Code::Internal => Code::Internal,
        tonic::Code::Unavailable => Code::Unavailable,
        tonic::Code::DataLoss => Code::DataLoss,
        tonic::Code::Unauthenticated => Code::Unauthenticated,
        // Ok is no error; etcd does not use the others.
        tonic::Code::Ok | tonic::Code::Unknown | tonic::Code::AlreadyExists | tonic::Code::Aborted => {
            Code::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_text_survive_the_wire() {
        let errors = [
            KvError::empty_key(),
            KvError::compacted(),
            KvError::no_space(),
            KvError::lease_not_found(),
            KvError::lease_exists(),
            KvError::no_leader(),
            KvError::corrupt(),
            KvError::watch_canceled(),
            KvError::not_primary_lessor(),
            KvError::new(Code::PermissionDenied, "etcdserver: permission denied"),
            KvError::new(Code::Unauthenticated, "etcdserver: invalid auth token"),
            KvError::new(Code::Unimplemented, "later"),
            KvError::new(Code::Internal, "broken"),
            KvError::new(Code::DeadlineExceeded, "context deadline exceeded"),
        ];
        for error in errors {
            assert_eq!(into_error(from_error(error.clone())), error);
        }
    }

    #[test]
    fn a_broken_connection_leaves_the_outcome_open() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let error = into_error(Status::from_error(Box::new(reset)));
        assert_eq!(error.code, Code::Unavailable);
        assert!(!error.is_definite());
    }
}
