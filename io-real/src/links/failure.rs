//! What the kernel's refusals mean to those who asked.

use super::connection::Refusal;
use flannel::links::LinksError;
use rustix::io::Errno;

/// The error for a refused request about `what`, with the kernel's own words where it has some.
pub fn failure(what: &str, refusal: Refusal) -> LinksError {
    let words = refusal.text.map_or_else(String::new, |text| format!(" ({text})"));
    let text = format!("{what}{words}");
    match refusal.errno {
        Errno::EXIST => LinksError::Exists(text),
        Errno::NOENT | Errno::SRCH | Errno::NODEV | Errno::NXIO | Errno::ADDRNOTAVAIL => {
            LinksError::NotFound(text)
        }
        Errno::BUSY | Errno::AGAIN | Errno::INTR | Errno::NOMEM | Errno::NOBUFS => LinksError::Busy(text),
        Errno::PERM | Errno::ACCESS => LinksError::NotPermitted(text),
        Errno::OPNOTSUPP | Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT => LinksError::Unsupported(text),
        // The number says what the text may not.
        errno => LinksError::Refused(format!("{text}: {errno}")),
    }
}
