//! What a log entry of the store carries: a command, and who waits for its outcome; or what a member publishes about itself.

use crate::membership::Attributes;
use bytes::Bytes;
use mvcc::Command;

/// The payload of a log entry.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Proposal {
    /// The member that proposed it.
    #[prost(fixed64, tag = "1")]
    pub member: u64,
    /// The request at that member; unique over its lives.
    #[prost(fixed64, tag = "2")]
    pub request: u64,
    /// The encoded [`Command`].
    #[prost(bytes = "bytes", tag = "3")]
    pub command: Bytes,
    /// What a member publishes; there is no command then.
    #[prost(message, optional, tag = "4")]
    pub publish: Option<Attributes>,
}

impl Proposal {
    /// Encodes a proposal of `command`.
    pub fn encode(member: u64, request: u64, command: &Command) -> Bytes {
        let command = Bytes::from(command.encode_to_vec());
        let proposal = Proposal { member, request, command, publish: None };
        prost::Message::encode_to_vec(&proposal).into()
    }

    /// Encodes what a member publishes.
    pub fn encode_publish(attributes: Attributes) -> Bytes {
        let proposal = Proposal { publish: Some(attributes), ..Default::default() };
        prost::Message::encode_to_vec(&proposal).into()
    }

    /// Reads an entry's payload. An error here, or of [`Proposal::to_command`], means that this version cannot follow the log.
    pub fn decode(payload: Bytes) -> Result<Proposal, String> {
        <Proposal as prost::Message>::decode(payload).map_err(|error| format!("unreadable entry: {error}"))
    }

    /// The command.
    pub fn to_command(&self) -> Result<Command, String> {
        Command::decode(self.command.clone()).map_err(|error| format!("unreadable command: {error}"))
    }
}
