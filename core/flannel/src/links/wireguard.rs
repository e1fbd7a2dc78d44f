//! What a WireGuard device holds beside what every link has: its key and port, and the machines that it speaks with.
//!
//! The device finds the machine for a packet that leaves by the networks that each may send from, and lets a packet in only
//! from the machine that its source belongs to. A machine's address on the network beneath is only where it was heard of last: the
//! kernel follows a machine that moves. A secret is never shown, not even by `{:?}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Bytes of a key.
pub const KEY_LEN: usize = 32;

/// Whom the others know: a public key. Written in base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; KEY_LEN]);

/// A private key, or one that two machines share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(pub [u8; KEY_LEN]);

impl Secret {
    /// The public key to this private one.
    pub fn public(&self) -> PublicKey {
        PublicKey(x25519_dalek::x25519(self.0, x25519_dalek::X25519_BASEPOINT_BYTES))
    }

    /// As the key file has it.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        decode(text).map(PublicKey).ok_or_else(|| format!("{text:?} is not a public key: 32 bytes in base64"))
    }
}

impl FromStr for Secret {
    type Err = String;

    /// The error does not show the text.
    fn from_str(text: &str) -> Result<Self, String> {
        decode(text)
            .map(Secret)
            .ok_or_else(|| "it is not a key: 32 bytes in base64, as `wg genkey` prints".to_owned())
    }
}

fn decode(text: &str) -> Option<[u8; KEY_LEN]> {
    STANDARD.decode(text.trim()).ok()?.try_into().ok()
}

/// Who a WireGuard device is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WireguardDevice {
    /// The link's name.
    pub link: String,
    /// Its private key.
    pub secret: Secret,
    /// The UDP port that it listens on.
    pub port: u16,
}

/// A machine that a WireGuard device speaks with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WireguardPeer {
    /// The link's name.
    pub link: String,
    /// Who it is.
    pub key: PublicKey,
    /// Where it is on the network beneath; none if it was not heard of. In a wish always some.
    pub endpoint: Option<SocketAddr>,
    /// A key that both have beside their own.
    pub psk: Option<Secret>,
    /// Seconds between packets that keep the way open; 0 for none.
    pub keepalive: u16,
    /// The networks that are behind it. A network is behind one machine only: who gets it takes it from another.
    pub allowed: BTreeSet<IpNet>,
}

#[cfg(test)]
mod tests {
    use super::{PublicKey, Secret};

    /// The keys of RFC 7748, section 6.1.
    #[test]
    fn a_public_key_is_that_of_the_standard() {
        let secret: Secret = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=".parse().unwrap();
        let public: PublicKey = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=".parse().unwrap();
        assert_eq!(secret.public(), public);
        assert_eq!(public.to_string(), "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=");
        assert_eq!(Secret(secret.0).to_base64().parse::<Secret>(), Ok(secret));
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret: Secret = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=".parse().unwrap();
        assert_eq!(format!("{secret:?}"), "(secret)");
        assert!(!"dwdtCnMYpX08".parse::<Secret>().unwrap_err().contains("dwdtCnMYpX08"));
        assert!("short".parse::<PublicKey>().unwrap_err().contains("short"));
    }
}
